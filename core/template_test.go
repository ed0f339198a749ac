package core_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// fieldsOf lists the fields that a refusal names, in its order.
func fieldsOf(r core.Error) []string {
	fields := make([]string, len(r.Fields))
	for i, f := range r.Fields {
		fields[i] = f.Field
	}
	return fields
}

func TestNewTemplate(t *testing.T) {
	t.Parallel()
	asked := published(7)
	asked.DeletedAt = t0 // status and times of the caller are ignored
	draft, err := core.NewTemplate(asked, t1)
	require.NoError(t, err)
	want := published(7)
	want.Status, want.Version, want.CreatedAt, want.UpdatedAt = core.TemplateDraft, 1, t1, t1
	require.Equal(t, want, draft)
	require.False(t, draft.Deleted())
}

func TestTemplateValidation(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		spoil  func(*core.Template)
		fields []string
	}{
		{"nothing wrong", func(*core.Template) {}, nil},
		{"free", func(p *core.Template) { p.CreditsPerRun = 0 }, nil},
		{"batch", func(p *core.Template) { p.Mode = core.ModeBatch }, nil},
		{"no instructions", func(p *core.Template) { p.Instructions = "" }, nil},
		{"longest ID", func(p *core.Template) { p.ID = core.TemplateID(strings.Repeat("x", core.MaxIDLength)) }, nil},
		{"longest name in characters", func(p *core.Template) { p.Name = strings.Repeat("ü", core.MaxNameLength) }, nil},
		{"longest instructions", func(p *core.Template) { p.Instructions = strings.Repeat("x", core.MaxInstructionsLength) }, nil},
		{"no ID", func(p *core.Template) { p.ID = "" }, []string{"id"}},
		{"ID too long", func(p *core.Template) { p.ID = core.TemplateID(strings.Repeat("x", core.MaxIDLength+1)) }, []string{"id"}},
		{"ID with a slash", func(p *core.Template) { p.ID = "a/b" }, []string{"id"}},
		{"ID with a letter that needs quoting", func(p *core.Template) { p.ID = "ü" }, []string{"id"}},
		{"no name", func(p *core.Template) { p.Name = "" }, []string{"name"}},
		{"blank name", func(p *core.Template) { p.Name = " \t" }, []string{"name"}},
		{"name too long", func(p *core.Template) { p.Name = strings.Repeat("x", core.MaxNameLength+1) }, []string{"name"}},
		{"name with NUL", func(p *core.Template) { p.Name = "a\x00b" }, []string{"name"}},
		{"name that is no text", func(p *core.Template) { p.Name = "a\xff" }, []string{"name"}},
		{"instructions with NUL", func(p *core.Template) { p.Instructions = "a\x00b" }, []string{"instructions"}},
		{"instructions that are no text", func(p *core.Template) { p.Instructions = "\xc3\x28" }, []string{"instructions"}},
		{"instructions too long", func(p *core.Template) { p.Instructions = strings.Repeat("x", core.MaxInstructionsLength+1) }, []string{"instructions"}},
		{"negative price", func(p *core.Template) { p.CreditsPerRun = -1 }, []string{"creditsPerRun"}},
		{"no mode", func(p *core.Template) { p.Mode = "" }, []string{"mode"}},
		{"unknown mode", func(p *core.Template) { p.Mode = "stream" }, []string{"mode"}},
		{
			"everything at once",
			func(p *core.Template) {
				*p = core.Template{ID: "?", Name: "", Instructions: "\xff", CreditsPerRun: -1, Mode: "?"}
			},
			[]string{"id", "name", "instructions", "creditsPerRun", "mode"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			template := published(7)
			tc.spoil(&template)
			_, err := core.NewTemplate(template, t1)
			if tc.fields == nil {
				require.NoError(t, err)
				return
			}
			require.Equal(t, tc.fields, fieldsOf(refused(t, err, core.CodeInvalidRequest)))
		})
	}
}

func TestChangeTemplate(t *testing.T) {
	t.Parallel()
	name, instructions, price := "Bills", "Translate.", core.Credits(9)
	negative, blank := core.Credits(-1), ""

	changed, err := published(7).Change(core.TemplateChange{Name: &name, Instructions: &instructions, CreditsPerRun: &price}, t1)
	require.NoError(t, err)
	want := published(9)
	want.Name, want.Instructions, want.Version, want.UpdatedAt = name, instructions, 5, t1
	require.Equal(t, want, changed)

	for field, change := range map[string]core.TemplateChange{
		"name": {Name: &name}, "instructions": {Instructions: &instructions}, "price": {CreditsPerRun: &price},
	} {
		got, err := published(7).Change(change, t1)
		require.NoError(t, err)
		require.Equal(t, field == "name", got.Name == name)
		require.Equal(t, field == "instructions", got.Instructions == instructions)
		require.Equal(t, field == "price", got.CreditsPerRun == price)
		require.Equal(t, field == "instructions", got.Version == 5, "only a change of the instructions makes a version")
	}
	same := published(7).Instructions
	got, err := published(7).Change(core.TemplateChange{Instructions: &same}, t1)
	require.NoError(t, err)
	require.Equal(t, 4, got.Version)

	_, err = published(7).Change(core.TemplateChange{CreditsPerRun: &negative}, t1)
	require.Equal(t, []string{"creditsPerRun"}, fieldsOf(refused(t, err, core.CodeInvalidRequest)))
	_, err = published(7).Change(core.TemplateChange{Name: &blank}, t1)
	require.Equal(t, []string{"name"}, fieldsOf(refused(t, err, core.CodeInvalidRequest)))

	got, err = published(7).SoftDelete(t1).Change(core.TemplateChange{Name: &blank}, t1)
	refused(t, err, core.CodeTemplateDeleted)
	require.Zero(t, got)
}

func TestPublishTemplate(t *testing.T) {
	t.Parallel()
	draft := published(7)
	draft.Status = core.TemplateDraft
	got, err := draft.Publish(t1)
	require.NoError(t, err)
	want := published(7)
	want.UpdatedAt = t1
	require.Equal(t, want, got)

	again, err := got.Publish(t1.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, got, again, "publishing twice changes nothing")

	_, err = draft.SoftDelete(t1).Publish(t1)
	refused(t, err, core.CodeTemplateDeleted)
}

func TestSoftDeleteTemplate(t *testing.T) {
	t.Parallel()
	deleted := published(7).SoftDelete(t1)
	want := published(7)
	want.DeletedAt, want.UpdatedAt = t1, t1
	require.Equal(t, want, deleted)
	require.True(t, deleted.Deleted())
	require.Equal(t, deleted, deleted.SoftDelete(t1.Add(time.Hour)), "deleting twice changes nothing")
}

func TestNewTenant(t *testing.T) {
	t.Parallel()
	tenant, err := core.NewTenant("acme", "Acme & Söhne", 100, t0)
	require.NoError(t, err)
	require.Equal(t, core.Tenant{ID: "acme", Name: "Acme & Söhne", MonthlyAllowance: 100, CreatedAt: t0}, tenant)
	_, err = core.NewTenant("a-B_3.x", "A", 0, t0)
	require.NoError(t, err)

	for _, tc := range []struct {
		name      string
		id        core.TenantID
		called    string
		allowance core.Credits
		fields    []string
	}{
		{"no ID", "", "Acme", 0, []string{"id"}},
		{"ID with a space", "a b", "Acme", 0, []string{"id"}},
		{"ID with NUL", "a\x00", "Acme", 0, []string{"id"}},
		{"no name", "acme", " ", 0, []string{"name"}},
		{"negative allowance", "acme", "Acme", -1, []string{"monthlyAllowance"}},
		{"everything", "!", "", -1, []string{"id", "name", "monthlyAllowance"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := core.NewTenant(tc.id, tc.called, tc.allowance, t0)
			require.Equal(t, tc.fields, fieldsOf(refused(t, err, core.CodeInvalidRequest)))
			require.Zero(t, got)
		})
	}
}

func TestCheckKey(t *testing.T) {
	t.Parallel()
	for _, good := range []core.Key{"a", "!", "~", "charge/run-1/0", core.Key(strings.Repeat("k", core.MaxKeyLength))} {
		require.NoError(t, core.CheckKey("key", good))
	}
	for _, bad := range []core.Key{"", " ", "a b", "a\tb", "a\x00", "\x7f", "é", "\xff", core.Key(strings.Repeat("k", core.MaxKeyLength+1))} {
		require.Equal(t, []string{"key"}, fieldsOf(refused(t, core.CheckKey("key", bad), core.CodeInvalidRequest)), "%q", bad)
	}
}

func TestNewTenantDotIDs(t *testing.T) {
	t.Parallel()
	for _, id := range []core.TenantID{".", ".."} {
		_, err := core.NewTenant(id, "Acme", 0, t0)
		require.Error(t, err, "%q cannot stand in a URL path: clients and proxies resolve it", id)
	}
}

func TestTemplateVersions(t *testing.T) {
	t.Parallel()
	now := published(7)
	v := now.VersionBy(admin, t1)
	require.Equal(t, core.TemplateVersion{Tenant: acme, Template: "invoices", Number: 4, Instructions: "Summarise.", By: admin, At: t1}, v)
	then := now.As(core.TemplateVersion{Number: 2, Instructions: "Translate."})
	require.Equal(t, 2, then.Version)
	require.Equal(t, "Translate.", then.Instructions)
	require.Equal(t, now.CreditsPerRun, then.CreditsPerRun, "the price is that of now")
}
