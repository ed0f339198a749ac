package oracle

import "github.com/redrive/redrive/core"

// BulkWrite is what a transaction wrote of a part of a bulk continue.
type BulkWrite struct {
	Part core.BulkPart
	Runs []core.BulkRun
}

// Bulk adds what was written of a part.
func (c *Commit) Bulk(p core.BulkPart, runs []core.BulkRun) {
	c.Bulks = append(c.Bulks, BulkWrite{Part: p, Runs: append([]core.BulkRun(nil), runs...)})
}

// BulkSaved looks at a bulk continue that was saved.
func (o *Oracle) BulkSaved(core.Bulk) {}
