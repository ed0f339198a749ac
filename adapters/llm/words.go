package llm

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// cause is the reason of an error answer.
type cause int

const (
	causeUnknown    cause = iota
	causeContent          // this content is refused
	causeLength           // this content is too long
	causeCredential       // our key, or what it may do
	causeQuota            // our account
	causeSetup            // our address or model
	causeShape            // the model accepts no request of our shape
	causeLimited          // too many requests
	causeTimeout          // it was too slow
	causeBusy             // it cannot answer now
)

// clue is one way in which providers state a cause: by a code, in any spelling, or in a
// message. Clues are tried in order, and the first that matches decides.
type clue struct {
	cause cause
	codes []string       // see normal
	words *regexp.Regexp // on fault.words, in lower case; nil for none
	fits  func(f fault, status int) bool
}

func codes(s string) []string { return strings.Fields(s) }

func words(alternatives ...string) *regexp.Regexp {
	return regexp.MustCompile("(?:" + strings.Join(alternatives, "|") + ")")
}

// clues are in an order that avoids mistakes. A gateway that lists the failures of
// providers reports its own failure; an account that is banned for a policy is no fault
// of the content; a limit on our own parameter is not the length of a file.
var clues = []clue{
	{
		cause: causeQuota, codes: codes("budgetexceeded budgetexceedederror"),
		words: words(`crossed budget`, `exceeded ?budget`, `budget has been exceeded`, `over budget`),
	},
	{cause: causeLimited, words: words(`no deployments available`, `no healthy deployment`, `too many tokens(?:,? please wait| per)`)},
	{
		cause: causeCredential, codes: codes("accountdeactivated organizationdeactivated accountsuspended userdeactivated"),
		words: words(
			`(?:account|organi[sz]ation|project|api key|your access)\b.{0,40}\b(?:is|was|has been|have been) (?:\w+ )?(?:deactivated|disabled|suspended|terminated|banned|revoked)`,
			`account\b.{0,40}\b(?:is|was|has been) (?:\w+ )?(?:flagged|blocked)`),
	},
	{
		cause: causeContent,
		codes: codes("contentpolicyviolation contentpolicyviolationerror contentfilter contentfiltered contentfilterederror " +
			"responsibleaipolicyviolation datainspectionfailed internalerroralgodatainspectionfailed " +
			"moderationblocked contentmoderation inputmoderation promptblocked guardrailviolation guardrailintervened " +
			"sensitivecontent inappropriatecontent prohibitedcontent cyberpolicyviolation safetyerror safetycheckfailed"),
		words: words(
			`(?:input|prompt|content|text|message|request|output|response|completion|data)\b.{0,40}\b(?:was|were|is|been|got) (?:\w+ )?(?:flagged|filtered|moderated)`,
			`content (?:management|filtering|safety|moderation|usage) polic`, `contentpolicyviolationerror`, `content[_ ]policy[_ ]violation`,
			`(?:violat\w+|against) (?:[\w'’]+ ){0,3}(?:usage|content|safety|acceptable use) polic`, `violated guardrail`, `guardrail (?:intervened|violation)`,
			`content exists risk`, `inappropriate content`, `prohibited content`, `sensitive (?:content|words)`,
			`rejected (?:by|as a result of) (?:\w+ ){0,2}safety system`, `responsible ai polic`, `data_?inspection_?failed`,
			`prompt (?:was )?blocked`, `blocked by (?:\w+ ){0,4}(?:content|safety|moderation)`),
		fits: func(f fault, _ int) bool { return f.flagged },
	},
	{cause: causeLength, words: words(`max_tokens must be at least 1, got -`, "(?:input|prompt)s?`? tokens \\+ `?max_new_tokens`? must be")},
	{cause: causeShape, words: words(
		`max_(?:completion_|new_)?tokens\b.{0,40}\b(?:is|are) (?:too (?:large|high|big)|not supported)`, `max_(?:completion_)?tokens: \d+ > \d+`,
		`max_(?:completion_|new_)?tokens\W{0,3} must be (?:<|less|at most|between)`, `invalid max_tokens`)},
	{
		cause: causeLength,
		codes: codes("contextlengthexceeded contextwindowexceedederror contextwindowexceeded exceedcontextsizeerror stringabovemaxlength stringtoolong " +
			"modelmaxprompttokensexceeded inputtoolong inputtoolarge requesttoolarge prompttoolong requestentitytoolarge payloadtoolarge"),
		words: words(
			`context (?:length|window|size)`, `maximum context`, `max(?:imum)? (?:prompt|input|model|sequence) (?:length|size|tokens)`, `contextwindowexceedederror`, `context_length_exceeded`,
			`exceeds? (?:the )?(?:\w+ )?context limit`, `(?:prompt|input|message|request|conversation)s?\b.{0,40}\b(?:is|are) too (?:long|large|big)`, `input is too long`, `string too long`,
			`exceed\w* (?:the )?(?:maximum|max) (?:allowed )?(?:input|prompt|context|token|request|message) (?:length|size|limit|count)`,
			`(?:input|prompt) (?:token count|length)\b.{0,40}exceed`, `exceed\w* (?:the )?(?:maximum|max) (?:number|amount) of (?:input )?tokens`, `exceeded (?:the )?model token limit`,
			"`?inputs`? must have less than \\d+ tokens",
			`reduce (?:the|your) (?:length of the )?(?:messages|prompt|input|message size)`, `too many tokens`, `range of input length should be`,
			`prompt contains \d+ tokens.{0,60}too large`, `longer than the (?:maximum )?(?:model|context)`, `prompt 超长`, `(?:request|entity|payload|body) (?:entity |body )?too large`),
	},
	{cause: causeLength, fits: aloneOverTheLimit},
	{
		cause: causeQuota,
		codes: codes("insufficientquota exceededcurrentquotaerror insufficientbalance insufficientbalanceerror creditserror insufficientcredits insufficientfunds insufficientuserquota paymentrequired billinghardlimitreached " +
			"billingnotactive billingerror creditlimit creditlimitexceeded arrearage accountoverdue accountoverdueerror quotaexhausted insufficientaccountbalance"),
	},
	{cause: causeLimited, fits: rateLimitAsQuota},
	{cause: causeQuota, words: words(
		`insufficient[ _](?:balance|credits?|funds|quota|account balance)`, `(?:credit )?balance is (?:too low|insufficient|exhausted)`, `balance not enough`, `余额不足`, `欠费`,
		`out of credits?`, `(?:requires|need|add) more credits`, `credits? (?:limit )?(?:exceeded|exhausted|depleted)`, `credit limit exceeded`, `no (?:remaining )?credits`,
		`exceeded (?:your )?(?:current|monthly) (?:quota|spend|usage)`, `specified api usage limits`, `(?:billing hard|spend(?:ing)?|monthly (?:usage|spend)|key|total) limit (?:has been )?(?:reached|exceeded)`,
		`account is not active`, `account is in good standing`, `check your plan and billing`, `overdue[ -]payment`, `payment required`, `prompt tokens limit exceeded`,
		`depleted your .{0,30}credits`, `extra usage is required`)},
	{
		cause: causeSetup,
		codes: codes("modelnotfound modelnotfounderror modelnotexist modelnotavailable modelnotsupported modeldecommissioned modeldeprecated unknownmodel invalidmodel invalidmodelname " +
			"nosuchmodel deploymentnotfound unknowndeployment resourcenotfound notfound notfounderror unknownurl operationnotsupported apiversionnotsupported unsupportedapiversion methodnotallowed"),
		words: words(`plain http request was sent to https port`, `http request to an https server`, `unexpected endpoint or method`, `unrecognized request url`, `invalid url \(`,
			`missing required query parameter: api-version`, `api version not supported`, `no route matched`, `not a chat model`, `llm provider not provided`, `no models loaded`,
			`call .?/v1/models.? to view`, `no endpoints found`, `no endpoints available`, `no allowed providers`, `no available channels? for model`, `无可用渠道`, `try pulling it first`),
	},
	{cause: causeSetup, fits: func(f fault, _ int) bool { return modelMissing.MatchString(f.words) && !temporary.MatchString(f.words) }},
	{
		cause: causeCredential,
		codes: codes("invalidapikey apikeyinvalid invalidkey incorrectapikey invalidauthentication invalidauthenticationerror authenticationerror autherror authenticationfailed unauthorized unauthenticated " +
			"invalidtoken invalidbearertoken tokenexpired permissiondenied permissionerror permissiondeniederror accessdenied forbidden requestforbidden invalidorganization " +
			"unsupportedcountryregionterritory ipnotauthorized keymodelaccessdenied tokennotfoundindb missingapikey noapikey invalidsubscriptionkey"),
		words: words(`(?:incorrect|invalid|wrong|expired|revoked|missing|no|bad|unknown) (?:x-)?(?:api[- _]?key|auth\w* (?:token|credentials?|key)|subscription key|bearer token|credentials?)`,
			`api[- _]?key (?:is |was )?(?:not valid|invalid|not found|expired|missing|required|incorrect|not provided)`, `authentication (?:fails|failed|error|required)`, `(?:invalid|missing) authentication`,
			`didn't provide an api key`, `no auth credentials`, `not authorized to`, `(?:is|are) not allowed to (?:sample|access|use)`, `country, region, or territory not supported`, `user not found`,
			`authenticationerror`, `permissiondeniederror`, `missing or invalid authorization`, `invalid authorization`),
	},
	{
		cause: causeShape,
		codes: codes("unsupportedparameter unsupportedvalue unknownparameter missingrequiredparameter unrecognizedparameter extraforbidden literalerror"),
		words: words(`system role (?:is )?not supported`, `(?:role|message)s? .{0,30}must alternate`, `does not support (?:the )?'?"?(?:system|developer|chat|stream|this parameter)`,
			`only supports? stream`, `stream(?:ing)?\W{1,3}(?:mode )?(?:must be|is required|should be)`, `only streaming`, `please (?:enable|use) (?:the )?stream`,
			`unsupported (?:parameter|value)`, `unknown parameter`, `unrecognized request argument`, `extra (?:inputs|fields) (?:are )?not permitted`, `extra_forbidden`,
			`input should be `, `field required`, `missing required parameter`, `is not supported (?:with|by|for) this model`, `chat template`, `instructions are (?:required|not valid)`,
			`(?:developer|system) (?:instruction|message|role)s? (?:is|are) not (?:enabled|supported|allowed)`),
		fits: func(f fault, _ int) bool { return slices.ContainsFunc(f.params, ourParameter) },
	},
	{
		cause: causeLimited, codes: codes("ratelimitexceeded ratelimiterror ratelimited ratelimitreached toomanyrequests throttling throttlingexception throttlingratequota limitrequests requestlimitexceeded resourceexhausted"),
		words: words(`rate[- ]limit`, `too many requests`, `throttl`),
	},
	{
		cause: causeTimeout, codes: codes("timeout requesttimeout timeouterror deadlineexceeded gatewaytimeout apitimeouterror"),
		words: words(`timed[- ]?out`, `deadline exceeded`),
	},
	{
		cause: causeBusy, codes: codes("overloadederror overloaded engineoverloaded engineoverloadederror unavailable unavailableerror serviceunavailable serverbusy modeloverloaded capacityexceeded"),
		words: words(`overloaded`, `temporarily unavailable`, `(?:at|no) capacity`, `capacity (?:is )?exceeded`, `loading model`, `currently loading`, `server (?:is )?busy`),
	},
}

var (
	modelMissing = words("(?:model|deployment|engine)\\b.{0,120}\\b(?:does not exist|not exist|doesn't exist|not found|is not available|not available|not supported|unsupported|has been (?:decommissioned|deprecated|removed|retired)|is (?:unknown|deprecated|retired))",
		`(?:unknown|invalid|unsupported|no such) model`, `not a valid model`, `unable to access model`, `does not have access to model`)
	// temporary words say that a fault will pass, so that a model that is "not available"
	// now is not taken for one that does not exist.
	temporary = words(`temporar`, `try again`, `retry`, `currently`, `overload`, `loading`, `busy`, `capacity`, `at this time`, `right now`)

	overLimit  = regexp.MustCompile(`limit:? (\d+).{0,40}requested:? (\d+)`)
	oneTooMany = words(`request too large for`)
	quotaWords = words(`exceeded your current quota`, `quota exceeded for`, `check your plan and billing`)
	perDay     = words(`per ?day`, `\blimit: 0\b`)
)

// aloneOverTheLimit is a rate limit for which waiting does not help: this one request
// exceeds the whole limit.
func aloneOverTheLimit(f fault, status int) bool {
	if status != http.StatusTooManyRequests && status != http.StatusRequestEntityTooLarge && !slices.Contains(f.codes, "ratelimitexceeded") {
		return false
	}
	if oneTooMany.MatchString(f.words) {
		return true
	}
	m := overLimit.FindStringSubmatch(f.words)
	return m != nil && (len(m[2]) > len(m[1]) || len(m[2]) == len(m[1]) && m[2] > m[1])
}

// rateLimitAsQuota is a rate limit with the message of a used-up quota: Gemini uses
// OpenAI's words for an empty account for a limit per minute, but says when to retry.
func rateLimitAsQuota(f fault, _ int) bool {
	return f.wait > 0 && quotaWords.MatchString(f.words) &&
		!perDay.MatchString(f.words) && !slices.ContainsFunc(f.codes, perDay.MatchString)
}

// ourParameter reports whether the part of the request that the provider calls wrong is
// independent of the file.
func ourParameter(param string) bool {
	switch param {
	case "stream", "temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "stop":
		return true
	}
	return strings.HasPrefix(param, "messages") && strings.HasSuffix(param, "role")
}

// cause is the cause that the provider's codes and messages state; causeUnknown if none
// is known. The text of a proxy's web page is not matched, but for one known sentence.
func (f fault) cause(status int) cause {
	text := f.words
	if f.markup {
		if plainToTLS.MatchString(text) {
			return causeSetup
		}
		return causeUnknown
	}
	for _, c := range clues {
		if slices.ContainsFunc(f.codes, func(code string) bool { return slices.Contains(c.codes, code) }) ||
			c.words != nil && c.words.MatchString(text) || c.fits != nil && c.fits(f, status) {
			return c.cause
		}
	}
	if slices.Contains(f.params, "model") {
		return causeSetup
	}
	return causeUnknown
}

var plainToTLS = words(`plain http request was sent to https port`)
