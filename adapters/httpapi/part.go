package httpapi

import (
	"encoding/base64"
	"errors"
	"io"
	"mime/multipart"
	"strings"

	"github.com/redrive/redrive/core"
)

// partContent is the decoded content of a part of a form. It remembers the error that
// ended the reading, because a store may return another error instead.
type partContent struct {
	field string
	from  io.Reader
	part  *observed // the encoded content
	err   error     // of the decoding
}

// decoded gives the content of a part. Browsers and curl send it as it is; a part with
// an encoding of mail is decoded. (multipart.Reader.NextPart decodes quoted-printable.)
func decoded(part *multipart.Part, field string) (*partContent, error) {
	c := &partContent{field: field, part: &observed{from: part}}
	switch encoding := part.Header.Get("Content-Transfer-Encoding"); strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
		c.from = c.part
	case "base64":
		c.from = &base64Reader{from: base64.NewDecoder(base64.StdEncoding, c.part), rest: c.part}
	default:
		return nil, core.InvalidField(field, "has the Content-Transfer-Encoding %s, which is not understood here; send it as binary", printable(encoding))
	}
	return c, nil
}

// Read implements io.Reader.
func (c *partContent) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// cause gives the refusal for an error that occurred while the content was read: an
// error of the reader comes before err, which is only its consequence.
func (c *partContent) cause(err error) error {
	switch {
	case c.part.err != nil:
		return formError(c.part.err)
	case c.err != nil:
		return core.InvalidField(c.field, "is not valid base64, which its Content-Transfer-Encoding says it is")
	default:
		return err
	}
}

// observed remembers an error of a reader.
type observed struct {
	from io.Reader
	err  error // other than io.EOF
}

// Read implements io.Reader.
func (o *observed) Read(p []byte) (int, error) {
	n, err := o.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		o.err = err
	}
	return n, err
}

var errAfterBase64 = errors.New("there is something after the end of the base64")

// base64Reader fails if there is more after the padding, where a decoder may stop.
type base64Reader struct {
	from io.Reader // the decoder
	rest io.Reader // what it reads from
}

// Read implements io.Reader.
func (b *base64Reader) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if err != io.EOF {
		return n, err
	}
	var more [256]byte
	for {
		m, err := b.rest.Read(more[:])
		if strings.Trim(string(more[:m]), "\r\n") != "" {
			return n, errAfterBase64
		}
		if err != nil {
			return n, err
		}
	}
}
