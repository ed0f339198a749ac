// Package filestest is the conformance suite of ports.Files. Every adapter runs it
// from a test of its own:
//
//	func TestFiles(t *testing.T) {
//		filestest.Run(t, func(t *testing.T) filestest.Subject {
//			f := newFiles(t)
//			return filestest.Subject{Files: f, Count: f.count}
//		})
//	}
//
// # What files have to do to pass
//
//   - A content is stored whole or not at all, whatever its reader does: it may fail,
//     panic, or outlive its context. 24 MiB come in pieces of any size.
//   - A reference is of one tenant, and may be anything when it is asked for: paths that
//     climb, NUL, 64 KiB of text are ports.ErrNotFound.
//   - All valid IDs of tenants and uploads are different, also "." and "..", and also
//     "Acme" and "acme" on a file system that takes them for one.
//   - The same content in two uploads is two contents.
//   - The mark of an upload is there before its first content and goes last. Uploads that
//     were kept are never removed; Leftovers may be settled while they are listed.
//   - A call whose context has ended has no effect.
//
// References must follow from tenant, upload, place and content: two adapters that were
// given the same have the same.
//
// # How long it takes
//
// 1 s in memory, a few seconds in a folder, on two cores.
package filestest
