package webui_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

var hiddenKey = regexp.MustCompile(`name="key" value="([^"]+)"`)

func TestAdministrationByForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("a-timeout.txt", "b.txt")
	operator, admin := w.signedIn(pat), w.signedIn(ann)

	// Suspended, nothing starts, and the tenant is told why; reopened, it does.
	p := operator.post("/ui/tenants/acme/suspend", url.Values{"reason": {" "}})
	require.Equal(t, http.StatusUnprocessableEntity, p.status)
	require.NotContains(t, operator.get("/ui/tenants/acme").text, "Suspended:")
	p = operator.post("/ui/tenants/acme/suspend", url.Values{"reason": {"invoice <17>"}})
	require.Contains(t, p.text, "The tenant is suspended.")
	require.Contains(t, p.text, "Suspended: invoice &lt;17&gt;")
	require.Contains(t, p.text, `action="/ui/tenants/acme/reopen"`)
	require.Contains(t, admin.get("/ui/runs/"+string(id)).text, "The account is suspended")
	require.Contains(t, admin.post("/ui/runs/"+string(id)+"/continue", url.Values{"price": {"2"}, "attempt": {"0"}, "key": {"k"}}).path, "notice=refused")
	p = operator.post("/ui/tenants/acme/reopen", nil)
	require.Contains(t, p.text, "The tenant is open again.")
	require.NotContains(t, admin.get("/ui/runs/"+string(id)).text, "The account is suspended")

	// Another name and allowance.
	p = operator.post("/ui/tenants/acme", url.Values{"name": {"Acme Ltd"}, "allowance": {"-1"}})
	require.Equal(t, http.StatusUnprocessableEntity, p.status)
	p = operator.post("/ui/tenants/acme", url.Values{"name": {"Acme Ltd"}, "allowance": {"500"}})
	require.Contains(t, p.text, "The tenant is changed.")
	require.Contains(t, p.text, "<bdi>Acme Ltd</bdi>")
	require.Contains(t, p.text, `value="500"`)

	// A refund from the receipt, once for each form that was shown.
	receipt := "/ui/runs/" + string(id) + "/receipt"
	require.NotContains(t, admin.get(receipt).text, "/refund")
	p = operator.get(receipt)
	key := hiddenKey.FindStringSubmatch(p.text)[1]
	before := w.balance(acme)
	form := url.Values{"charge": {string(core.ChargeKey(id, 0))}, "key": {key}, "amount": {"3"}, "reason": {"It was empty."}}
	for range 2 {
		p = operator.post("/ui/runs/"+string(id)+"/refund", form)
		require.Equal(t, http.StatusOK, p.status, p.text)
		require.Contains(t, p.text, "The credits are refunded.")
		require.Contains(t, p.text, "3 credits refunded")
	}
	require.Equal(t, before+3, w.balance(acme))
	require.Contains(t, admin.get(receipt).text, "<bdi>It was empty.</bdi>")
	require.Contains(t, admin.get("/ui/credits").text, "It was empty.")
	form["key"], form["amount"] = []string{"another"}, []string{"100"}
	p = operator.post("/ui/runs/"+string(id)+"/refund", form)
	require.Equal(t, http.StatusConflict, p.status)
	require.Contains(t, p.text, "1 credits of this charge can be refunded")
	require.Equal(t, http.StatusForbidden, admin.post("/ui/runs/"+string(id)+"/refund", form).status)

	// The statement adds up to the balance.
	p = admin.get("/ui/credits/statement")
	require.Contains(t, p.text, "Opening balance")
	require.Regexp(t, `Refund</th><td class="num">1</td>`, p.text)
	require.Contains(t, p.text, "Closing balance")

	// All of it is in the log, for the operator and the tenant's admin.
	for _, log := range []shown{operator.get("/ui/audit"), operator.get("/ui/audit?tenant=acme"), admin.get("/ui/audit")} {
		require.Equal(t, http.StatusOK, log.status)
		for _, what := range []string{"Tenant suspended", "Tenant reopened", "Tenant changed", "Charge refunded", "reason: invoice &lt;17&gt;"} {
			require.Contains(t, log.text, what)
		}
	}
	require.NotContains(t, admin.get("/ui/audit").text, ">globex<")
	require.Equal(t, http.StatusForbidden, admin.get("/ui/audit?tenant=globex").status)
	require.Equal(t, http.StatusOK, operator.get("/ui/audit?before=nonsense").status)
	for _, path := range []string{"/ui/tenants/acme/suspend", "/ui/tenants/acme/reopen", "/ui/tenants/acme"} {
		require.Equal(t, http.StatusForbidden, admin.post(path, url.Values{"reason": {"r"}, "name": {"n"}, "allowance": {"1"}}).status, path)
	}
}

// The same in a real browser: suspended, refunded, reopened, and read in the log.
func TestAdministrationInTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("a-timeout.txt", "b.txt")
	b := w.browser(t)
	b.signIn("operator")
	fill := func(selector, value string) {
		t.Helper()
		b.Do(chromedp.SetValue(selector, value))
	}
	b.Open("/ui/tenants/acme")
	b.accessible("a tenant", looks[0])
	fill("#f-reason", "unpaid")
	b.Click(`form[action$="/suspend"] button`)
	b.Until(`document.querySelector('form[action$="/reopen"]') && document.body.textContent.includes("Suspended: unpaid")`)
	b.Open("/ui/runs/" + string(id) + "/receipt")
	fill("#f-amount", "3")
	fill("#f-reason", "It was empty.")
	before := w.balance(acme)
	b.Click(`form[action$="/refund"] button`)
	b.Until(`document.querySelector("#refunds")?.textContent.includes("It was empty.")`)
	require.Equal(t, before+3, w.balance(acme))
	b.accessible("a receipt with a refund", looks[0])
	b.Open("/ui/tenants/acme")
	b.Click(`form[action$="/reopen"] button`)
	b.Until(`document.querySelector('form[action$="/suspend"]') !== null`)
	b.Open("/ui/audit?tenant=acme")
	for _, what := range []string{"Tenant suspended", "Tenant reopened", "Charge refunded"} {
		b.Until(`document.querySelector("table").textContent.includes("` + what + `")`)
	}
	b.accessible("the audit log", looks[2])
}
