package app

import (
	"archive/zip"
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/redrive/redrive/core"
)

// outputBuffer is how much is gathered for one write, in bytes.
const outputBuffer = 32 << 10

// WriteZIP writes an archive of the outputs of all completed files, each under its number,
// from 1 on, and the name of its file, and last manifest.json: what the run is, and of each
// of its files the status, and the name in the archive if it is in it.
func (o *Outputs) WriteZIP(ctx context.Context, w io.Writer) error {
	archive := zip.NewWriter(w)
	var in bitmap
	err := o.each(ctx, true, []core.FileStatus{core.FileCompleted}, func(f core.File) error {
		in.set(f.Index)
		entry, err := archive.CreateHeader(&zip.FileHeader{Name: EntryName(f), Method: zip.Deflate})
		if err != nil {
			return err
		}
		_, err = io.WriteString(entry, f.Output)
		return err
	})
	if err != nil {
		return err
	}
	manifest, err := archive.CreateHeader(&zip.FileHeader{Name: "manifest.json", Method: zip.Deflate})
	if err != nil {
		return err
	}
	if err := o.writeManifest(ctx, manifest, &in); err != nil {
		return err
	}
	return archive.Close()
}

// EntryName is the name of an output among others of its run. It begins with the file's
// number, so that two files with the same name do not collide.
func EntryName(f core.File) string {
	return fmt.Sprintf("%05d-%s", f.Index+1, core.OutputSaveName(f.Name))
}

// manifestFile is a file of a run in the manifest of an archive.
type manifestFile struct {
	Index   int         `json:"index"`
	Name    string      `json:"name"`
	Status  string      `json:"status"`
	Entry   string      `json:"entry,omitempty"` // its output in the archive
	Bytes   int64       `json:"outputBytes,omitempty"`
	Failure *outputFail `json:"failure,omitempty"`
}

type outputFail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func failOf(f core.Failure) *outputFail {
	if f == (core.Failure{}) {
		return nil
	}
	return &outputFail{f.Code, f.Message}
}

// writeManifest writes the manifest file by file. It says that the archive has an output
// if it has, also of a file that was completed after it had been passed.
func (o *Outputs) writeManifest(ctx context.Context, to io.Writer, in *bitmap) error {
	w := bufio.NewWriterSize(to, outputBuffer)
	head, err := json.Marshal(struct {
		Run      core.RunID      `json:"run"`
		Template core.TemplateID `json:"template"`
		Status   core.RunStatus  `json:"status"`
		Complete bool            `json:"complete"`
	}{o.Run.ID, o.Run.Template, o.Run.Status, o.Complete()})
	if err != nil {
		return err
	}
	_, _ = w.Write(head[:len(head)-1]) // errors of a bufio.Writer come back at Flush
	_, _ = w.WriteString(`,"files":[`)
	comma := "\n"
	err = o.each(ctx, false, nil, func(f core.File) error {
		m := manifestFile{Index: f.Index, Name: f.Name, Status: string(f.Status), Failure: failOf(f.Failure)}
		if in.has(f.Index) {
			m.Entry, m.Bytes = EntryName(f), f.OutputBytes
		}
		line, err := json.Marshal(m)
		if err != nil {
			return err
		}
		_, _ = w.WriteString(comma)
		comma = ",\n"
		_, err = w.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	_, _ = w.WriteString("\n]}\n")
	return w.Flush()
}

// bitmap is a set of indexes of files.
type bitmap []uint64

func (b *bitmap) set(i int) {
	for len(*b) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

func (b *bitmap) has(i int) bool { return i/64 < len(*b) && (*b)[i/64]&(1<<(i%64)) != 0 }

// WriteJSONL writes a line for each file: a JSON object with its index, name, size, status,
// retryAttempt, freeRetries, failure if it has one, and if it is completed outputBytes and
// output.
func (o *Outputs) WriteJSONL(ctx context.Context, to io.Writer) error {
	w := bufio.NewWriterSize(to, outputBuffer)
	err := o.each(ctx, true, nil, func(f core.File) error {
		line := struct {
			Index        int         `json:"index"`
			Name         string      `json:"name"`
			Size         int64       `json:"size"`
			Status       string      `json:"status"`
			RetryAttempt int         `json:"retryAttempt"`
			FreeRetries  int         `json:"freeRetries"`
			Failure      *outputFail `json:"failure,omitempty"`
			OutputBytes  *int64      `json:"outputBytes,omitempty"`
		}{f.Index, f.Name, f.Size, string(f.Status), f.RetryAttempt, f.FreeRetries, failOf(f.Failure), nil}
		if f.Status == core.FileCompleted {
			line.OutputBytes = &f.OutputBytes
		}
		object, err := json.Marshal(line)
		if err != nil {
			return err
		}
		_, _ = w.Write(object[:len(object)-1]) // errors of a bufio.Writer come back at the last write
		if f.Status == core.FileCompleted {
			_, _ = w.WriteString(`,"output":`)
			if err := writeJSONString(w, f.Output); err != nil {
				return err
			}
		}
		_, err = w.WriteString("}\n")
		return err
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

// writeJSONString writes a text as a JSON string piece by piece, because one that is
// encoded as a whole may be six times as long.
func writeJSONString(w *bufio.Writer, s string) error {
	const piece = 16 << 10
	if err := w.WriteByte('"'); err != nil {
		return err
	}
	for len(s) > 0 {
		n := min(piece, len(s))
		for n < len(s) && n > piece-utf8.UTFMax && !utf8.RuneStart(s[n]) {
			n--
		}
		encoded, err := json.Marshal(s[:n])
		if err != nil {
			return err
		}
		if _, err := w.Write(encoded[1 : len(encoded)-1]); err != nil {
			return err
		}
		s = s[n:]
	}
	return w.WriteByte('"')
}

// WriteCSV writes a table of the files, with their outputs in the last column if outputs is
// set. It is for spreadsheets: see core.SpreadsheetCell.
func (o *Outputs) WriteCSV(ctx context.Context, to io.Writer, outputs bool) error {
	buffer := bufio.NewWriterSize(to, outputBuffer)
	w := csv.NewWriter(buffer)
	header := []string{"index", "name", "bytes", "status", "retries_used", "free_retries", "max_retries", "failure_code", "failure"}
	if outputs {
		header = append(header, "output")
	}
	if err := w.Write(header); err != nil {
		return err
	}
	row := make([]string, len(header))
	err := o.each(ctx, outputs, nil, func(f core.File) error {
		copy(row, []string{
			strconv.Itoa(f.Index), core.SpreadsheetCell(f.Name), strconv.FormatInt(f.Size, 10), string(f.Status),
			strconv.Itoa(f.RetryAttempt - f.FreeRetries), strconv.Itoa(f.FreeRetries), strconv.Itoa(o.Run.MaxRetryCount),
			core.SpreadsheetCell(f.Failure.Code), core.SpreadsheetCell(f.Failure.Message),
		})
		if outputs {
			row[len(row)-1] = core.SpreadsheetCell(f.Output)
		}
		return w.Write(row)
	})
	if err != nil {
		return err
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return buffer.Flush()
}
