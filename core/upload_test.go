package core_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// MayUpload refuses for the same reasons as an initiation, in the same order, before a
// byte is stored.
func TestMayUpload(t *testing.T) {
	t.Parallel()
	most := func(c core.Credits) *core.Credits { return &c }
	draft := published(5)
	draft.Status = core.TemplateDraft
	for name, tc := range map[string]struct {
		upload   core.NewUpload
		template core.Template
		balance  core.Balance
		code     core.Code
	}{
		"enough":                          {core.NewUpload{Files: 3}, published(5), balanceOf(10, 5), ""},
		"not for all":                     {core.NewUpload{Files: 3}, published(5), balanceOf(10, 4), core.CodeInsufficientCredits},
		"how many is not known":           {core.NewUpload{}, published(5), balanceOf(5, 0), ""},
		"not for one":                     {core.NewUpload{}, published(5), balanceOf(4, 0), core.CodeInsufficientCredits},
		"free":                            {core.NewUpload{Files: 10_000}, published(0), balanceOf(0, 0), ""},
		"a draft, before the credits":     {core.NewUpload{}, draft, balanceOf(0, 0), core.CodeTemplateNotPublished},
		"deleted":                         {core.NewUpload{}, published(5).SoftDelete(t0), balanceOf(9, 9), core.CodeTemplateDeleted},
		"accepted":                        {core.NewUpload{Files: 2, MaxPrice: most(10)}, published(5), balanceOf(10, 0), ""},
		"not accepted":                    {core.NewUpload{Files: 2, MaxPrice: most(9)}, published(5), balanceOf(10, 0), core.CodePriceChanged},
		"not accepted before the credits": {core.NewUpload{MaxPrice: most(4)}, published(5), balanceOf(0, 0), core.CodePriceChanged},
		"out of range":                    {core.NewUpload{Files: 3}, published(maxC / 2), balanceOf(10, 0), core.CodeCreditsOutOfRange},
	} {
		err := core.MayUpload(tc.upload, tc.template, tc.balance)
		if tc.code == "" {
			require.NoError(t, err, name)
			continue
		}
		refused(t, err, tc.code)
	}
}

func TestCheckNewUpload(t *testing.T) {
	t.Parallel()
	retries := func(n int) *int { return &n }
	for _, ok := range []core.NewUpload{{}, {Files: 1}, {Files: core.DefaultMaxFiles}, {Files: 3, MaxFiles: 3, MaxRetryCount: retries(10)}} {
		require.NoError(t, core.CheckNewUpload(ok))
	}
	for field, bad := range map[string]core.NewUpload{
		"files": {Files: 4, MaxFiles: 3}, "maxRetryCount": {MaxRetryCount: retries(11)},
	} {
		require.Equal(t, []string{field}, fieldsOf(refused(t, core.CheckNewUpload(bad), core.CodeInvalidRequest)))
	}
	require.Len(t, fieldsOf(refused(t, core.CheckNewUpload(core.NewUpload{Files: -1, MaxRetryCount: retries(0)}), core.CodeInvalidRequest)), 2)
}

// A refused name is answered with its mistake and its file.
func TestCheckFileName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"a.txt", "sub/readme.txt", "a/b/c/d.txt", "..hidden", "a..b/c", "Ñandú 2024.pdf", "-rf", "com1", strings.Repeat("é", core.MaxNameLength), "a:b", "...",
	} {
		require.NoError(t, core.CheckFileName(0, name), "%q", name)
	}
	for name, says := range map[string]string{
		"": "", "  ": "", strings.Repeat("x", core.MaxNameLength+1): "255", "a\x00b": "control", "a\nb": "control", "a\x7fb": "control",
		"a\xffb": "UTF-8", "../etc/passwd": "leads out", "a/../../b": "leads out", "/etc/passwd": "leads out", `..\win`: "leads out", `C:\boot.ini`: "leads out",
	} {
		r := refused(t, core.CheckFileName(7, name), core.CodeInvalidRequest)
		require.Equal(t, []string{"files[7].name"}, fieldsOf(r), "%q", name)
		require.Contains(t, r.Fields[0].Message, says, "%q", name)
	}
}
