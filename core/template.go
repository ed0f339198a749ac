package core

import (
	"fmt"
	"time"
)

// TemplateID names a workflow template within its tenant.
type TemplateID string

// Mode says how a run's files become jobs.
type Mode string

const (
	ModePerFile Mode = "per_file" // one job per file
	ModeBatch   Mode = "batch"    // one job with all the files to process
)

// TemplateStatus is draft or published; deletion is soft and separate.
type TemplateStatus string

const (
	TemplateDraft     TemplateStatus = "draft"
	TemplatePublished TemplateStatus = "published"
)

// Valid reports whether the status is one of the two.
func (s TemplateStatus) Valid() bool { return s == TemplateDraft || s == TemplatePublished }

// Template says what to do with a file.
type Template struct {
	ID           TemplateID
	Tenant       TenantID
	Name         string
	Instructions string
	// Version numbers the instructions: 1, 2, 3, … Every change of the instructions makes
	// a new version; a run keeps the version that it was initiated with.
	Version       int
	CreditsPerRun Credits // the price in credits per file
	Mode          Mode
	Status        TemplateStatus
	CreatedAt     time.Time
	UpdatedAt     time.Time
	DeletedAt     time.Time // zero unless soft-deleted
}

// TemplateVersion is one version of a template's instructions. It is never changed or
// removed, because runs work with it (spec 2).
type TemplateVersion struct {
	Tenant       TenantID
	Template     TemplateID
	Number       int // 1, 2, 3, …
	Instructions string
	By           Actor
	At           time.Time
}

// VersionBy gives the record of the template's present version.
func (t Template) VersionBy(by Actor, now time.Time) TemplateVersion {
	return TemplateVersion{Tenant: t.Tenant, Template: t.ID, Number: t.Version, Instructions: t.Instructions, By: by, At: now}
}

// As gives the template with the instructions of one of its versions.
func (t Template) As(v TemplateVersion) Template {
	t.Version, t.Instructions = v.Number, v.Instructions
	return t
}

// Deleted reports whether the template was soft-deleted: no new run may use it, and its
// runs can still be continued.
func (t Template) Deleted() bool { return !t.DeletedAt.IsZero() }

// NewTemplate checks the fields and gives a draft to be stored.
func NewTemplate(t Template, now time.Time) (Template, error) {
	t.Status, t.Version = TemplateDraft, 1
	t.CreatedAt, t.UpdatedAt, t.DeletedAt = now, now, time.Time{}
	return t.validated()
}

// TemplateChange is a change of a template; nil leaves a field as it is. The mode is
// fixed, because it decided how runs were split into jobs.
type TemplateChange struct {
	Name          *string
	Instructions  *string
	CreditsPerRun *Credits
}

// Change gives the template with the change applied. A new price applies to later
// initiations and Continues; earlier charges stay as they were.
func (t Template) Change(c TemplateChange, now time.Time) (Template, error) {
	if t.Deleted() {
		return Template{}, templateDeleted(t.ID)
	}
	if c.Name != nil {
		t.Name = *c.Name
	}
	if c.Instructions != nil && *c.Instructions != t.Instructions {
		t.Instructions = *c.Instructions
		t.Version++
	}
	if c.CreditsPerRun != nil {
		t.CreditsPerRun = *c.CreditsPerRun
	}
	t.UpdatedAt = now
	return t.validated()
}

// Publish makes a template usable for runs. Publishing twice changes nothing.
func (t Template) Publish(now time.Time) (Template, error) {
	if t.Deleted() {
		return Template{}, templateDeleted(t.ID)
	}
	if t.Status != TemplatePublished {
		t.Status, t.UpdatedAt = TemplatePublished, now
	}
	return t, nil
}

// SoftDelete hides a template from new runs. Deleting twice changes nothing.
func (t Template) SoftDelete(now time.Time) Template {
	if !t.Deleted() {
		t.DeletedAt, t.UpdatedAt = now, now
	}
	return t
}

// NotDeleted fails with CodeTemplateDeleted if the template was soft-deleted.
func (t Template) NotDeleted() error {
	if t.Deleted() {
		return templateDeleted(t.ID)
	}
	return nil
}

// usable says whether a new run may use the template (spec 2).
func (t Template) usable() error {
	if t.Deleted() {
		return templateDeleted(t.ID)
	}
	if t.Status != TemplatePublished {
		return &Error{Code: CodeTemplateNotPublished, Message: fmt.Sprintf("template %q is a draft; publish it first", t.ID)}
	}
	return nil
}

func templateDeleted(id TemplateID) error {
	return &Error{Code: CodeTemplateDeleted, Message: fmt.Sprintf("template %q was deleted; use another one", id)}
}

func (t Template) validated() (Template, error) {
	var wrong []FieldError
	wrong = append(wrong, checkID("id", string(t.ID))...)
	wrong = append(wrong, checkName("name", t.Name)...)
	wrong = append(wrong, checkText("instructions", t.Instructions)...)
	if len(t.Instructions) > MaxInstructionsLength {
		wrong = append(wrong, FieldError{"instructions", fmt.Sprintf("must have at most %d bytes", MaxInstructionsLength)})
	}
	if t.CreditsPerRun < 0 {
		wrong = append(wrong, FieldError{"creditsPerRun", "must be 0 or more credits per file"})
	}
	if t.Mode != ModePerFile && t.Mode != ModeBatch {
		wrong = append(wrong, FieldError{"mode", `must be "per_file" or "batch"`})
	}
	if err := Invalid(wrong...); err != nil {
		return Template{}, err
	}
	return t, nil
}
