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
// and its reference is the run's ID, the number and "sha256:" with its SHA-256. Because
// of the hex, tenants whose IDs differ in case only have different folders on every file
// system, and a tenant named ".." has an ordinary folder. A run's ID with characters
// other than lower-case letters, digits and '-' is written as "x." and hex too.
//
// An upload that is not a run yet has a mark, a small file with the time it was begun:
//
//	uploads/<tenant's ID in hex>/<run's ID>
//
// A content belongs to one upload only, so the same content in two uploads is kept
// twice. That is on purpose: a shared content cannot be removed without a reference
// count, and one wrong count loses a file that was paid for.
//
// Earlier versions kept a content once for all runs of a tenant, under
//
//	<tenant's ID in hex>/<first 2 digits of the sum>/<its SHA-256 in hex>
//
// with the reference "sha256:" and the sum. They can still be read, and are never
// removed. There is nothing to migrate.
//
// # Complete or not at all
//
// The bucket shows a content once all of it is written. Every read is checked: at the
// end of a content whose sum is not that of its reference, the reader gives ErrDamaged
// in place of io.EOF. A caller that stops reading earlier, or uses the data before the
// error, has no such guarantee.
//
// # Crashes
//
// When Begin has returned, the mark is durable. When Commit has returned, so is every
// content of the upload, as far as the bucket can make it durable. The driver of a
// service returns once the service has the content. The folder driver by itself does not
// fsync: after a power failure a stored file could be missing, empty or torn. So Commit
// fsyncs the files of the upload, many at once, and each folder above them once: 2,000
// small files cost about as much as a few dozen singly. It does not help against a disk
// that confirms writes too early, or a file system without fsync.
//
// A crash during an upload into a folder can leave a file that ends in ".tmp". It is
// never read as a content, and is removed with its upload. A service may keep parts of
// an incomplete multipart upload; its own rule for those (on S3
// AbortIncompleteMultipartUpload) removes them.
//
// # What is removed
//
// Remove removes an upload whose mark is still there: one that was refused, or was left
// by a crash (Leftovers finds those). After Keep an upload is never removed. A run can be
// continued for as long as it exists, so an expiry rule of the bucket would make its
// files fail.
package blobfiles
