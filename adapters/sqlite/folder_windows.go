package sqlite

// syncFolder has nothing to do: NTFS journals names, and folders cannot be synced.
func syncFolder(string) error { return nil }
