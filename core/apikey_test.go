package core_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

const (
	keyID     core.APIKeyID = "3f9aK2LmQ0xZ"
	keySecret               = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
)

func TestAPIKeyToken(t *testing.T) {
	t.Parallel()
	token := core.APIKeyToken("acme", keyID, keySecret)
	require.Equal(t, "rdk_acme_3f9aK2LmQ0xZ_0123456789ABCDEFGHIJKLMNOPQRSTUV", token[:len(token)-6])
	require.Regexp(t, `^rdk_[A-Za-z0-9._-]{1,64}_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$`, token, "what secret scanners look for")
	tenant, id, ok := core.ParseAPIKey(token)
	require.True(t, ok)
	require.Equal(t, acme, tenant)
	require.Equal(t, keyID, id)
	for _, tenant := range []core.TenantID{"a", "a_b", "_", "-.x", "rdk_", core.TenantID(strings.Repeat("x", core.MaxIDLength))} {
		token := core.APIKeyToken(tenant, keyID, keySecret)
		got, id, ok := core.ParseAPIKey(token)
		require.True(t, ok, token)
		require.Equal(t, tenant, got)
		require.Equal(t, keyID, id)
		require.LessOrEqual(t, len(token), core.MaxAPIKeyTokenLength)
	}

	check := token[len(token)-6:]
	for name, bad := range map[string]string{
		"empty":             "",
		"the prefix":        "rdk_",
		"another prefix":    "RDK_" + token[4:],
		"no tenant":         core.APIKeyToken("", keyID, keySecret),
		"no tenant, no bar": "rdk_" + strings.TrimPrefix(token, "rdk_acme_"),
		"a tenant too long": core.APIKeyToken(core.TenantID(strings.Repeat("x", core.MaxIDLength+1)), keyID, keySecret),
		"no tenant at all":  core.APIKeyToken("a/b", keyID, keySecret),
		"a short secret":    core.APIKeyToken("acme", keyID, keySecret[1:]),
		"another alphabet":  core.APIKeyToken("acme", keyID, "!"+keySecret[1:]),
		"a broken ID":       core.APIKeyToken("acme", "3f9aK2LmQ0x!", keySecret),
		"no check":          token[:len(token)-6],
		"another check":     token[:len(token)-6] + string(check[1]) + string(check[0]) + check[2:] + "x",
		"a letter more":     token + "0",
		"a blank":           token + " ",
		"in capitals":       strings.ToUpper(token),
	} {
		_, _, ok := core.ParseAPIKey(bad)
		require.False(t, ok, "%s: %s", name, bad)
	}
}

// Whatever one letter is replaced by, the token is recognized as mistyped without a look-up.
func TestMistypedAPIKeys(t *testing.T) {
	t.Parallel()
	token := core.APIKeyToken("acme", keyID, keySecret)
	for i := range token {
		for _, letter := range core.Base62 {
			if rune(token[i]) == letter {
				continue
			}
			_, _, ok := core.ParseAPIKey(token[:i] + string(letter) + token[i+1:])
			require.False(t, ok)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.String(), func(s string) string { return "rdk_" + s })).Draw(t, "text")
		if tenant, id, ok := core.ParseAPIKey(text); ok {
			require.True(t, core.ValidID(tenant))
			require.True(t, core.ValidID(id))
		}
	})
}

func TestNewAPIKey(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	ann := core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerAdmin}
	pat := core.Actor{Subject: "pat", Role: core.RolePlatformAdmin}
	good := core.APIKeyRequest{Tenant: acme, Name: "import", Role: core.RoleCustomerUser, By: ann}
	k, err := core.NewAPIKey(good, nil, now)
	require.NoError(t, err)
	require.Equal(t, core.APIKey{Tenant: acme, Name: "import", Role: core.RoleCustomerUser, CreatedBy: ann, CreatedAt: now}, k)

	for name, c := range map[string]struct {
		change func(*core.APIKeyRequest)
		code   core.Code
		field  string
	}{
		"their own role":       {change: func(q *core.APIKeyRequest) { q.Role = core.RoleCustomerAdmin }},
		"more than their role": {change: func(q *core.APIKeyRequest) { q.Role = core.RolePlatformAdmin }, code: core.CodeRoleNotAllowed},
		"a platform admin":     {change: func(q *core.APIKeyRequest) { q.Role, q.By = core.RolePlatformAdmin, pat }},
		"a user":               {change: func(q *core.APIKeyRequest) { q.By.Role = core.RoleCustomerUser }, code: core.CodeRoleNotAllowed},
		"another tenant's":     {change: func(q *core.APIKeyRequest) { q.Tenant = globex }, code: core.CodeWrongTenant},
		"a key": {change: func(q *core.APIKeyRequest) {
			q.By = core.APIKey{ID: keyID, Tenant: acme, Role: core.RoleCustomerAdmin}.Actor()
		}, code: core.CodeRoleNotAllowed},
		"a platform admin's key": {change: func(q *core.APIKeyRequest) {
			q.By = core.APIKey{ID: keyID, Tenant: acme, Role: core.RolePlatformAdmin}.Actor()
		}, code: core.CodeRoleNotAllowed},
		"no role":        {change: func(q *core.APIKeyRequest) { q.Role = "" }, code: core.CodeInvalidRequest, field: "role"},
		"another role":   {change: func(q *core.APIKeyRequest) { q.Role = "root" }, code: core.CodeInvalidRequest, field: "role"},
		"no name":        {change: func(q *core.APIKeyRequest) { q.Name = " " }, code: core.CodeInvalidRequest, field: "name"},
		"a long name":    {change: func(q *core.APIKeyRequest) { q.Name = strings.Repeat("ü", 101) }, code: core.CodeInvalidRequest, field: "name"},
		"the longest":    {change: func(q *core.APIKeyRequest) { q.Name = strings.Repeat("ü", 100) }},
		"no text":        {change: func(q *core.APIKeyRequest) { q.Name = "a\x00" }, code: core.CodeInvalidRequest, field: "name"},
		"expired":        {change: func(q *core.APIKeyRequest) { q.ExpiresAt = now }, code: core.CodeInvalidRequest, field: "expiresAt"},
		"far ahead":      {change: func(q *core.APIKeyRequest) { q.ExpiresAt = now.Add(core.MaxAPIKeyLife + 1) }, code: core.CodeInvalidRequest, field: "expiresAt"},
		"not so far":     {change: func(q *core.APIKeyRequest) { q.ExpiresAt = now.Add(core.MaxAPIKeyLife) }},
		"a moment ahead": {change: func(q *core.APIKeyRequest) { q.ExpiresAt = now.Add(1) }},
	} {
		q := good
		c.change(&q)
		k, err := core.NewAPIKey(q, nil, now)
		if c.code == "" {
			require.NoError(t, err, name)
			require.Equal(t, q.Role, k.Role, name)
			require.Equal(t, q.ExpiresAt, k.ExpiresAt, name)
			continue
		}
		r := refused(t, err, c.code)
		if c.field != "" {
			require.Len(t, r.Fields, 1, name)
			require.Equal(t, c.field, r.Fields[0].Field, name)
		}
	}

	live := make([]core.APIKey, core.MaxAPIKeys)
	_, err = core.NewAPIKey(good, live[1:], now)
	require.NoError(t, err)
	_, err = core.NewAPIKey(good, live, now)
	refused(t, err, core.CodeTooManyAPIKeys)
	live[0].RevokedAt = now
	_, err = core.NewAPIKey(good, live, now)
	require.NoError(t, err, "a revoked key takes no place")
	live[0].RevokedAt, live[0].ExpiresAt = time.Time{}, now
	_, err = core.NewAPIKey(good, live, now)
	require.NoError(t, err, "nor does one that has expired")
	ended := make([]core.APIKey, core.MaxKeptAPIKeys)
	for i := range ended {
		ended[i].RevokedAt = now
	}
	_, err = core.NewAPIKey(good, ended[1:], now)
	require.NoError(t, err)
	_, err = core.NewAPIKey(good, ended, now)
	refused(t, err, core.CodeTooManyAPIKeys)
}

func TestAPIKeyLife(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	token := core.APIKeyToken(acme, keyID, keySecret)
	k := core.APIKey{ID: keyID, Tenant: acme, Role: core.RoleCustomerUser, Hash: core.APIKeyHash(token), CreatedAt: now}
	require.True(t, k.Owns(token))
	require.False(t, k.Owns(core.APIKeyToken(acme, keyID, "1"+keySecret[1:])))
	require.False(t, core.APIKey{}.Owns(""))
	require.NotContains(t, k.Hash, keySecret)
	require.Equal(t, "rdk_acme_3f9aK2LmQ0xZ", k.Visible())
	require.True(t, strings.HasPrefix(token, k.Visible()))
	require.Equal(t, core.Actor{Subject: "key:3f9aK2LmQ0xZ", Tenant: acme, Role: core.RoleCustomerUser}, k.Actor())
	require.True(t, k.Actor().IsAPIKey())
	require.False(t, core.System.IsAPIKey())

	require.Equal(t, core.APIKeyActive, k.Status(now.Add(10*core.MaxAPIKeyLife)), "without an expiry it lives for ever")
	k.ExpiresAt = now.Add(time.Hour)
	require.Equal(t, core.APIKeyActive, k.Status(now.Add(time.Hour-1)))
	require.Equal(t, core.APIKeyExpired, k.Status(now.Add(time.Hour)))
	revoked := k.Revoke(now.Add(time.Minute))
	require.Equal(t, core.APIKeyRevoked, revoked.Status(now.Add(time.Minute)))
	require.Equal(t, core.APIKeyRevoked, revoked.Status(now.Add(2*time.Hour)))
	require.Equal(t, revoked, revoked.Revoke(now.Add(time.Hour)), "the first time counts")
	require.Zero(t, k.RevokedAt)

	require.True(t, k.UseDue(now), "never used")
	k.LastUsedAt = now
	require.False(t, k.UseDue(now.Add(time.Minute-1)))
	require.True(t, k.UseDue(now.Add(time.Minute)))

	renamed, err := k.Rename("other")
	require.NoError(t, err)
	require.Equal(t, "other", renamed.Name)
	_, err = k.Rename("")
	refused(t, err, core.CodeInvalidRequest)

	list := []core.APIKey{{ID: "b", CreatedAt: now}, {ID: "c", CreatedAt: now.Add(1)}, {ID: "a", CreatedAt: now}}
	core.SortAPIKeys(list)
	require.Equal(t, []core.APIKeyID{"c", "a", "b"}, []core.APIKeyID{list[0].ID, list[1].ID, list[2].ID})
}
