package oracle

import (
	"github.com/redrive/redrive/core"
)

// version is what a template's instructions were from a commit on.
type version struct {
	from         int
	number       int
	instructions string
}

// versioned takes down a template's version.
func (o *Oracle) versioned(t *template, row *core.Template) {
	n := len(t.versions)
	switch {
	case n == 0:
	case t.versions[n-1].number == row.Version && t.versions[n-1].instructions == row.Instructions:
		return
	case row.Version != t.versions[n-1].number+1:
		o.fail(Version, "template %s has other instructions under version %d, after version %d", row.ID, row.Version, t.versions[n-1].number)
	}
	t.versions = append(t.versions, version{o.commits, row.Version, row.Instructions})
}

// initiatedWith checks that a run's version is one that the template had meanwhile.
func (o *Oracle) initiatedWith(t *template, c *Commit, row *core.Run) {
	for i := len(t.versions) - 1; i >= 0; i-- {
		if t.versions[i].number == row.TemplateVersion {
			return
		}
		if t.versions[i].from <= c.Began {
			break
		}
	}
	o.fail(Version, "run %s was initiated with version %d of template %s, which was not its own then", row.ID, row.TemplateVersion, t.id)
}

// Instructed is told what an executor is given to work with.
func (o *Oracle) Instructed(job core.Job, given *core.Template) {
	r := o.run(job.Run)
	if r == nil {
		return
	}
	t := o.tenant(r.row.Tenant).template(r.row.Template)
	if t == nil || given.ID != t.id {
		o.fail(Version, "job %s is executed with template %q, its run has %q", job.ID, given.ID, r.row.Template)
		return
	}
	for i := range t.versions {
		v := &t.versions[i]
		if v.number != r.model.Version {
			continue
		}
		if given.Instructions != v.instructions || given.Version != v.number {
			o.fail(Version, "job %s is executed with version %d, %q; its run was initiated with version %d, %q",
				job.ID, given.Version, given.Instructions, v.number, v.instructions)
		}
		if i < len(t.versions)-1 {
			o.met(EditedMeanwhile)
		}
		return
	}
}
