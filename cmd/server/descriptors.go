package main

const (
	// mostConnections is how many connections a server takes that was not told.
	mostConnections = 4096
	// keptDescriptors are left for everything else: the database, files, the provider.
	keptDescriptors   = 128
	fewestConnections = 16
)

// roomFor gives how many connections a process may have that may open so many files;
// 0 if that is not known.
func roomFor(descriptors uint64) int {
	if descriptors == 0 || descriptors > mostConnections+keptDescriptors {
		return mostConnections
	}
	n := int(descriptors)
	return max(n-keptDescriptors, n/4, fewestConnections)
}
