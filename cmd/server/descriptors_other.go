//go:build !unix

package main

// descriptors gives 0: the number of files is not known on this platform.
func descriptors() uint64 { return 0 }
