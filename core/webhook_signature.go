package core

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// WebhookSecret writes random bytes as a secret, in the form of Standard Webhooks.
func WebhookSecret(random []byte) (string, error) {
	if len(random) < minWebhookSecretBytes {
		return "", fmt.Errorf("a webhook secret needs %d random bytes, and there are %d", minWebhookSecretBytes, len(random))
	}
	return webhookSecretPrefix + base64.StdEncoding.EncodeToString(random), nil
}

// SignWebhook gives the header webhook-signature of Standard Webhooks: of each secret
// "v1," and the HMAC-SHA256 over "id.timestamp.body", separated by a space. It fails for
// what is no secret.
func SignWebhook(secrets []string, id WebhookEventID, at time.Time, body string) (string, error) {
	signed := string(id) + "." + strconv.FormatInt(at.Unix(), 10) + "." + body
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		encoded, ok := strings.CutPrefix(secret, webhookSecretPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < minWebhookSecretBytes {
			return "", fmt.Errorf("secret %d of the endpoint is none", i+1) // and is not shown
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}
