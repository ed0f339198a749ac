package embedder

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Bucket stands for the embedder's own storage of objects: a name has some bytes, each
// call is atomic, several are not.
type Bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
}

// Put stores an object, in place of one of that name.
func (b *Bucket) Put(name string, content []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(name, content)
}

// Create stores an object if there is none of that name, and says so.
func (b *Bucket) Create(name string, content []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := b.objects[name]; there {
		return false
	}
	b.put(name, content)
	return true
}

func (b *Bucket) put(name string, content []byte) {
	if b.objects == nil {
		b.objects = map[string][]byte{}
	}
	b.objects[name] = bytes.Clone(content)
}

// Get reads an object.
func (b *Bucket) Get(name string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	content, there := b.objects[name]
	return bytes.Clone(content), there
}

// Delete removes an object if there is one.
func (b *Bucket) Delete(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, name)
}

// List gives the names that begin so, ascending.
func (b *Bucket) List(prefix string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(b.objects)), func(name string) bool { return !strings.HasPrefix(name, prefix) })
}
