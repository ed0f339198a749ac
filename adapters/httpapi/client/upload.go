package client

import (
	"io"
	"mime/multipart"
)

// UploadedFile is a file to be uploaded. Its name may have folders in it.
type UploadedFile struct {
	Name    string
	Content io.Reader
}

// UploadForm makes the body of an initiation with files of any size, which are read while
// they are sent:
//
//	contentType, body := client.UploadForm("summarise", client.UploadedFile{"report.pdf", file})
//	run, err := client.Check(c.InitiateRunWithBodyWithResponse(ctx, params, contentType, body))
//
// An error of a Content is that of the request. A body is sent once: for another try make
// another one, and send it under the same Idempotency-Key.
func UploadForm(template string, files ...UploadedFile) (contentType string, body io.ReadCloser) {
	from, to := io.Pipe()
	form := multipart.NewWriter(to)
	go func() { to.CloseWithError(writeForm(form, template, files)) }()
	return form.FormDataContentType(), from
}

func writeForm(form *multipart.Writer, template string, files []UploadedFile) error {
	if err := form.WriteField("template", template); err != nil {
		return err
	}
	for _, f := range files {
		part, err := form.CreateFormFile("files", f.Name)
		if err != nil {
			return err
		}
		if _, err := io.Copy(part, f.Content); err != nil {
			return err
		}
	}
	return form.Close()
}
