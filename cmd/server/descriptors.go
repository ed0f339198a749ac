package main

const (
	// mostConnections bounds the default of --max-connections.
	mostConnections = 4096
	// keptDescriptors are reserved for everything else: the database, files, the provider.
	keptDescriptors   = 128
	fewestConnections = 16
)

// connectionsFor gives the most connections of a process that may open this many files;
// 0 if the number is not known.
func connectionsFor(descriptors uint64) int {
	if descriptors == 0 || descriptors > mostConnections+keptDescriptors {
		return mostConnections
	}
	n := int(descriptors)
	return max(n-keptDescriptors, n/4, fewestConnections)
}
