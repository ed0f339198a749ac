package watermillqueue

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"

	"github.com/redrive/redrive/core"
)

// wireVersion is the version of the messages that this program writes. It reads those
// of an earlier release, too: a message of version 1 is one job.
//
// A field that is added leaves it as it is: servers of an earlier release ignore the field,
// and read the message without it. It grows only when they would misread a
// message. Then it travels where they do not look: version 2 has a table and subjects
// of its own. Should messages of an unknown version turn up all the same, they are left
// in the queue for a newer server, see versionTimeout.
const wireVersion = 2

// versionTimeout is how long a message of an unknown version is left in the
// queue, for a newer server that a rolling deployment is about to start. After
// that it is a dead letter.
const versionTimeout = 10 * time.Minute

// envelope has the same meaning in every version.
type envelope struct {
	Version int   `json:"v"`
	At      int64 `json:"at"` // when it was sent, Unix seconds
}

// origin is what the jobs of a message have in common.
type origin struct {
	Tenant   core.TenantID   `json:"tenant"`
	Run      core.RunID      `json:"run"`
	Epoch    core.Epoch      `json:"epoch"`
	Template core.TemplateID `json:"template,omitempty"`
	// Trace is no part of what names a message: jobs that are sent again are the same.
	Trace string `json:"trace,omitempty"`
}

// wireMessage is jobs as they travel. The jobs of one file are named by its index.
type wireMessage struct {
	envelope
	origin
	Files indexes   `json:"files,omitempty"`
	Jobs  []wireJob `json:"jobs,omitempty"` // any others: the job of a batch run
}

type wireJob struct {
	ID    core.JobID `json:"id"`
	Files indexes    `json:"files"`
}

// wireJob1 is a message of version 1.
type wireJob1 struct {
	envelope
	origin
	Job   core.JobID `json:"job"`
	Files []int      `json:"files"`
}

// Reasons of dead letters.
const (
	ReasonUndecodable = "undecodable" // not JSON, or not jobs
	ReasonVersion     = "version"     // of a version that this server does not know
)

// unreadable says why a message cannot be read.
type unreadable struct {
	reason string // one of the constants above
	err    error
	sentAt time.Time // of a message of an unknown version
}

func (u *unreadable) Error() string { return u.err.Error() }
func (u *unreadable) Unwrap() error { return u.err }

// waits reports whether a newer server may still come and read it.
func (u *unreadable) waits(now time.Time) bool {
	return u.reason == ReasonVersion && now.Sub(u.sentAt) < versionTimeout
}

// The metadata of a message, beside Watermill's correlation ID.
const (
	tenantKey   = "tenant"
	templateKey = "template"
)

// seal makes the message of jobs that travel together. The same jobs always make a
// message of the same ID.
func seal(ctx context.Context, jobs []core.Job, correlation string) (*message.Message, error) {
	w := wireOf(jobs)
	id := w.id()
	w.envelope = envelope{wireVersion, time.Now().Unix()}
	payload, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encode jobs of run %s: %w", w.Run, err)
	}
	msg := message.NewMessageWithContext(ctx, id.String(), payload)
	msg.Metadata = message.Metadata{
		tenantKey: string(w.Tenant), templateKey: string(w.Template), middleware.CorrelationIDMetadataKey: correlation,
	}
	return msg, nil
}

// messageID names a message by its jobs: the same ones are the same message, from
// whichever server and however often, and any others are another one.
func messageID(jobs []core.Job) uuid.UUID { return wireOf(jobs).id() }

func wireOf(jobs []core.Job) wireMessage {
	first := jobs[0]
	w := wireMessage{origin: origin{first.Tenant, first.Run, first.Epoch, first.Template, string(first.Trace)}}
	for _, j := range jobs {
		if len(j.Files) == 1 && j.Files[0] >= 0 && j.ID == core.FileJobID(j.Run, j.Files[0]) {
			w.Files = append(w.Files, j.Files[0])
		} else {
			w.Jobs = append(w.Jobs, wireJob{j.ID, j.Files})
		}
	}
	return w
}

// id is a UUID of version 8, 36 characters long, which every broker takes.
func (w wireMessage) id() uuid.UUID {
	key := make([]byte, 0, 256)
	text := func(s string) { // with its length, so that nothing runs into the next
		key = append(binary.AppendUvarint(key, uint64(len(s))), s...)
	}
	text(string(w.Tenant))
	text(string(w.Run))
	text(string(w.Template))
	key = binary.BigEndian.AppendUint64(key, uint64(w.Epoch))
	text(w.Files.String())
	for _, j := range w.Jobs {
		text(string(j.ID))
		text(j.Files.String())
	}
	hash := sha256.Sum256(key)
	id := uuid.UUID(hash[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // variant
	return id
}

// open reads a message; its errors are *unreadable.
func open(payload []byte) (jobs []core.Job, sent time.Time, err error) {
	var e envelope
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, sent, undecodable(err)
	}
	sent = time.Unix(e.At, 0).UTC()
	switch {
	case e.Version < 1:
		return nil, sent, undecodable(errors.New("no version"))
	case e.Version > wireVersion:
		return nil, sent, &unreadable{
			reason: ReasonVersion, sentAt: sent,
			err: fmt.Errorf("message of version %d; this server reads up to %d", e.Version, wireVersion),
		}
	case e.Version == 1:
		jobs, err = open1(payload)
	default:
		jobs, err = open2(payload)
	}
	if err != nil {
		return nil, sent, undecodable(err)
	}
	return jobs, sent, nil
}

func undecodable(err error) error {
	return &unreadable{reason: ReasonUndecodable, err: fmt.Errorf("decode jobs: %w", err)}
}

func open1(payload []byte) ([]core.Job, error) {
	var w wireJob1
	if err := json.Unmarshal(payload, &w); err != nil {
		return nil, err
	}
	if w.Job == "" || len(w.Files) == 0 {
		return nil, errors.New("the job or its files are missing")
	}
	return []core.Job{w.job(w.Job, w.Files)}, w.check()
}

func open2(payload []byte) ([]core.Job, error) {
	var w wireMessage
	if err := json.Unmarshal(payload, &w); err != nil {
		return nil, err
	}
	if len(w.Files)+len(w.Jobs) == 0 {
		return nil, errors.New("there are no jobs")
	}
	jobs := make([]core.Job, 0, len(w.Files)+len(w.Jobs))
	for i, file := range w.Files {
		jobs = append(jobs, w.job(core.FileJobID(w.Run, file), w.Files[i:i+1:i+1]))
	}
	for _, j := range w.Jobs {
		if j.ID == "" || len(j.Files) == 0 {
			return nil, errors.New("a job's name or files are missing")
		}
		jobs = append(jobs, w.job(j.ID, j.Files))
	}
	return jobs, w.check()
}

func (o origin) job(id core.JobID, files []int) core.Job {
	trace, _ := core.ParseTrace(o.Trace) // else none: a message is not lost for it
	return core.Job{Tenant: o.Tenant, Run: o.Run, Epoch: o.Epoch, ID: id, Template: o.Template, Files: files, Trace: trace}
}

func (o origin) check() error {
	switch {
	case o.Tenant == "" || o.Run == "":
		return errors.New("tenant or run is missing")
	case o.Epoch < 0:
		return fmt.Errorf("epoch %d", o.Epoch)
	}
	return nil
}
