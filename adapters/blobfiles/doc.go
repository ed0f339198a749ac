// Package blobfiles is a ports.Files over gocloud.dev/blob: a folder by default,
// and any bucket for which the program imports a driver (S3, GCS, Azure). The
// schemes file and mem are always there.
//
// # Layout
//
// A content lies under
//
//	<tenant's ID in lower-case hex>/<first 2 digits of the sum>/<its SHA-256 in lower-case hex>
//
// and its reference is "sha256:" with the sum. The hex keeps tenants apart whose
// IDs differ in case only, where the file system does not, and makes a tenant
// named ".." an ordinary folder. A folder can be checked with sha256sum: what a
// file is named is what it must give.
//
// # Whole or not at all
//
// Put first copies what it reads into a temporary file (os.TempDir, as large as
// the content; set TMPDIR if /tmp is kept in memory), since the key is known only
// at the end. The bucket shows a content once all of it is written. If the same
// content is there already it is read back and not written again; if that finds
// it damaged, the new copy takes its place.
//
// Every read is checked: at the end of a content whose sum is not that of its
// reference, the reader gives ErrDamaged in place of io.EOF. Who stops reading
// earlier, or uses what was read before the error, has no such assurance.
//
// # Crashes
//
// When Put has returned, the content is as durable as the bucket can make it.
// A service's driver returns once the service has the content. The folder driver
// by itself does not fsync: after a loss of power, a file that it had stored
// could be missing, empty or torn. So Put fsyncs the file before the driver gives
// it its name, and the folders above it afterwards. What remains: a disk that
// confirms what it has not written, and file systems that do not know fsync.
//
// A crash during a Put into a folder can leave a file that ends in ".tmp", which
// is never read as a content; delete those older than the longest upload.
//
// Nothing here deletes contents. A run can be continued for as long as it exists,
// so a bucket's own expiry rule would make its files fail.
package blobfiles
