// Command dist packs binaries of Redrive for those who install it: archives with their
// checksums, a Debian package, a container image.
//
//	make dist deb image
//
// It is a module of its own, so that what packs Redrive is no dependency of Redrive. What it
// makes is the same, bit for bit, whenever and wherever it is made from one commit: all times
// in it are that of the commit.
package main
