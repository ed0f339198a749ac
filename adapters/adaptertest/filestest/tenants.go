package filestest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func testTenantsKeptApart(t *testing.T, s *subject) {
	a, b := []byte("of tenant a"), []byte("of tenant b")
	refA, refB := s.put(t, tenant, a).Ref, s.put(t, other, b).Ref
	s.requireKept(t, tenant, refA, a)
	s.requireKept(t, other, refB, b)
	s.requireUnknown(t, tenant, refB)
	s.requireUnknown(t, other, refA)
	s.requireUnknown(t, "nobody", refA)
}

// testTenantsSameContent: a tenant cannot open another tenant's content, even if it knows
// the content, until it has stored the content itself.
func testTenantsSameContent(t *testing.T, s *subject) {
	content := []byte("known to both")
	refA := s.put(t, tenant, content).Ref
	s.requireUnknown(t, other, refA)
	refB := s.put(t, other, content).Ref
	s.requireKept(t, other, refB, content)
	s.requireKept(t, tenant, refA, content)
	s.requireCount(t, 2)
}

// testTenantsAwkwardNames: all valid IDs are different tenants, also IDs with a meaning in
// paths or that a file system takes for equal.
func testTenantsAwkwardNames(t *testing.T, s *subject) {
	tenants := []core.TenantID{
		".", "..", "...", ".hidden", "-", "--", "_", "__0x2f__", "a.", "a..", "a",
		"A", "acme", "Acme", "ACME", "acme.attrs", "acme.tmp", "con", "CON", "nul.txt", "0", "~",
		core.TenantID(strings.Repeat("x", core.MaxIDLength)),
		core.TenantID(strings.Repeat("x", core.MaxIDLength-1)),
		core.TenantID(strings.Repeat("X", core.MaxIDLength)),
		core.TenantID(strings.Repeat(".", core.MaxIDLength)),
	}
	content := func(tenant core.TenantID) []byte { return []byte("the file of " + tenant) }
	refs := make([]core.FileRef, len(tenants))
	for i, tenant := range tenants {
		refs[i] = s.put(t, tenant, content(tenant)).Ref
	}
	s.requireCount(t, len(tenants))
	for _, tenant := range tenants {
		for i, owner := range tenants {
			if owner == tenant {
				s.requireKept(t, tenant, refs[i], content(owner))
				continue
			}
			s.requireUnknown(t, tenant, refs[i])
		}
	}
}

// testUnknownReference: a reference comes from a caller and may be anything.
func testUnknownReference(t *testing.T, s *subject) {
	content := []byte("something to be found")
	own := s.put(t, tenant, content).Ref
	theirs := s.put(t, other, []byte("something that is not theirs")).Ref
	unknown := []core.FileRef{
		"", " ", ".", "..", "/", "//", "./", "../", "\x00", "\xff", "*", "%", "ü", "sha256", "sha256:", ":",
		"sha256:../../etc/passwd", "/etc/passwd", "../../../../../../etc/passwd", `..\..\etc\passwd`, "file:///etc/passwd",
		core.FileRef("sha256:" + strings.Repeat("0", 64)),
		core.FileRef("sha256:" + strings.Repeat("z", 64)),
		core.FileRef("sha256:" + strings.Repeat("../", 21) + "x"),
		core.FileRef(strings.Repeat("f", 1<<16)),
		// Almost a reference of the tenant.
		own + "/", own + " ", own + "\n", own + "\x00", own + ".attrs", own + "/.", own + "0",
		" " + own, "/" + own, "./" + own, own[1:], own[:len(own)-1], "sha256:" + own,
		core.FileRef(strings.ToUpper(string(own))),
		core.FileRef("sha256:" + strings.ToUpper(strings.TrimPrefix(string(own), "sha256:"))),
		// Paths to another tenant's file.
		theirs,
		core.FileRef("../" + string(other) + "/" + string(theirs)),
		core.FileRef(string(other) + "/" + string(theirs)),
		core.FileRef("sha256:../" + string(other) + "/" + strings.TrimPrefix(string(theirs), "sha256:")),
	}
	for _, ref := range unknown {
		require.NotEqual(t, own, ref)
		s.requireUnknown(t, tenant, ref)
		s.requireUnknown(t, "nobody", ref)
	}
	s.requireKept(t, tenant, own, content)
	s.requireCount(t, 2)
}
