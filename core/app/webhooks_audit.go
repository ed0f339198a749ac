package app

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

// endpointFacts are the facts of an endpoint that was made, or is removed.
func endpointFacts(e core.WebhookEndpoint) core.AuditFacts {
	return core.AuditFacts{"host": hostOf(e.URL), "description": e.Description, "events": typesText(e.Types)}
}

// endpointChange is what changed of an endpoint; nothing if it is as it was.
func endpointChange(before, after core.WebhookEndpoint) core.AuditFacts {
	facts := core.AuditFacts{}
	if before.URL != after.URL {
		facts["hostFrom"], facts["hostTo"] = hostOf(before.URL), hostOf(after.URL)
	}
	if before.Description != after.Description {
		facts["descriptionFrom"], facts["descriptionTo"] = before.Description, after.Description
	}
	if !slices.Equal(before.Types, after.Types) {
		facts["eventsFrom"], facts["eventsTo"] = typesText(before.Types), typesText(after.Types)
	}
	if was, is := before.Pause != core.NotPaused, after.Pause != core.NotPaused; was != is {
		facts["paused"] = strconv.FormatBool(is)
	}
	return facts
}

// hostOf is what the audit log has of an endpoint's URL, for ever: the rest of it is a
// secret with many receivers, that know their senders by it alone.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}

func typesText(types []core.WebhookEventType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}
