// Package blobfiles is a ports.Files over gocloud.dev/blob: a folder by default,
// and any bucket for which the program imports a driver (S3, GCS, Azure). The
// schemes file and mem are always there.
//
// # Layout
//
// A content lies under
//
//	<tenant's ID in lower-case hex>/runs/<run's ID>/<its number in the upload>
//
// and its reference is the run's ID, the number and "sha256:" with its SHA-256. The
// hex keeps tenants apart whose IDs differ in case only, where the file system does
// not, and makes a tenant named ".." an ordinary folder. A run's ID that has more than
// lower-case letters, digits and '-' is "x." and hex too.
//
// An upload that is no run yet has a mark, a small file that says when it was begun:
//
//	uploads/<tenant's ID in hex>/<run's ID>
//
// Contents belong to their upload alone, so the same content in two uploads is kept
// twice. That is on purpose: what is shared cannot be removed without counting who
// else has it, and a count that is wrong once loses a file that was paid for.
//
// Earlier versions kept a content once for all runs of a tenant, under
//
//	<tenant's ID in hex>/<first 2 digits of the sum>/<its SHA-256 in hex>
//
// with the reference "sha256:" and the sum. These can still be read, and nothing here
// removes them. There is nothing to migrate.
//
// # Whole or not at all
//
// The bucket shows a content once all of it is written. Every read is checked: at the
// end of a content whose sum is not that of its reference, the reader gives ErrDamaged
// in place of io.EOF. Who stops reading earlier, or uses what was read before the
// error, has no such assurance.
//
// # Crashes
//
// When Begin has returned, the mark is durable, and when Commit has returned, so is
// every content of the upload, as far as the bucket can make it. A service's driver
// returns once the service has the content. The folder driver by itself does not
// fsync: after a loss of power, a file that it had stored could be missing, empty or
// torn. So Commit fsyncs the files of the upload, many at once, and each folder that
// leads to them once: 2,000 small files cost about as much as a few dozen by
// themselves. What remains: a disk that confirms what it has not written, and file
// systems that do not know fsync.
//
// A crash during an upload into a folder can leave a file that ends in ".tmp", which
// is never read as a content and goes with its upload. A service may keep parts of an
// upload of many parts that was broken off; its own rule for those (on S3
// AbortIncompleteMultipartUpload) removes them.
//
// # What is removed
//
// Remove removes an upload whose mark is still there: one that was refused, or was
// left behind by a crash (Leftovers finds those). What was kept is never removed. A
// run can be continued for as long as it exists, so a bucket's own expiry rule for
// contents would make its files fail.
package blobfiles
