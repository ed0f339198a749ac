package client

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// WebhookTolerance is how far a webhook's time may be from one's own clock.
const WebhookTolerance = 5 * time.Minute

// ErrWebhook is a request that was not sent by whom it should be, or too long ago.
var ErrWebhook = errors.New("redrive: the webhook is not authentic")

// VerifyWebhook checks that a request with this header and body is a webhook signed with one
// of the secrets (whsec_…), as Standard Webhooks say; give two while a secret is replaced. The
// body is as it came, byte by byte. A webhook may come twice: remember the header webhook-id.
func VerifyWebhook(header http.Header, body []byte, now time.Time, secrets ...string) error {
	id, at := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if id == "" || err != nil {
		return fmt.Errorf("%w: webhook-id or webhook-timestamp is missing or malformed", ErrWebhook)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > WebhookTolerance || age < -WebhookTolerance {
		return fmt.Errorf("%w: it was signed %s ago", ErrWebhook, age)
	}
	var sent [][]byte
	for signature := range strings.FieldsSeq(header.Get("webhook-signature")) {
		version, encoded, _ := strings.Cut(signature, ",")
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil && version == "v1" {
			sent = append(sent, decoded)
		}
	}
	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) < 16 {
			return errors.New("redrive: a secret is whsec_ and at least 16 bytes in base64")
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, signature := range sent {
			if hmac.Equal(signature, want) {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: no signature is of one of the secrets", ErrWebhook)
}
