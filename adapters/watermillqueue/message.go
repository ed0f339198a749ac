package watermillqueue

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/redrive/redrive/core"
)

// wireVersion is the version of the messages that this program writes.
//
// A field that is added leaves it as it is: servers of before ignore the field,
// and read the message without it. It grows only when they would misread a
// message. Then the release that reads the new version comes first and the one
// that writes it second; should messages of an unknown version turn up all the
// same, they are left in the queue for a newer server, see versionPatience.
const wireVersion = 1

// versionPatience is how long a message of an unknown version is left in the
// queue, for a newer server that a rolling deployment is about to start. After
// that it is a dead letter.
const versionPatience = 10 * time.Minute

// wireJob is a job as it travels. The envelope, v and at, has the same meaning in
// every version.
type wireJob struct {
	Version  int             `json:"v"`
	At       int64           `json:"at"` // when it was sent, Unix seconds
	Tenant   core.TenantID   `json:"tenant"`
	Run      core.RunID      `json:"run"`
	Epoch    core.Epoch      `json:"epoch"`
	Job      core.JobID      `json:"job"`
	Template core.TemplateID `json:"template,omitempty"`
	Files    []int           `json:"files"`
}

// Reasons of dead letters.
const (
	ReasonUndecodable = "undecodable" // not JSON, or not a job
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
	return u.reason == ReasonVersion && now.Sub(u.sentAt) < versionPatience
}

func encodeJob(j core.Job, now time.Time) ([]byte, error) {
	payload, err := json.Marshal(wireJob{
		Version: wireVersion, At: now.Unix(),
		Tenant: j.Tenant, Run: j.Run, Epoch: j.Epoch, Job: j.ID, Template: j.Template, Files: j.Files,
	})
	if err != nil {
		return nil, fmt.Errorf("encode job %s: %w", j.ID, err)
	}
	return payload, nil
}

// decodeJob reads a message; its errors are *unreadable.
func decodeJob(payload []byte) (core.Job, error) {
	var w wireJob
	if err := json.Unmarshal(payload, &w); err != nil {
		// A newer version may have changed any field but the envelope.
		var envelope struct {
			Version int   `json:"v"`
			At      int64 `json:"at"`
		}
		if json.Unmarshal(payload, &envelope) != nil || envelope.Version <= wireVersion {
			return core.Job{}, &unreadable{reason: ReasonUndecodable, err: fmt.Errorf("decode job: %w", err)}
		}
		w = wireJob{Version: envelope.Version, At: envelope.At}
	}
	if w.Version > wireVersion {
		return core.Job{}, &unreadable{
			reason: ReasonVersion, sentAt: time.Unix(w.At, 0),
			err: fmt.Errorf("message of version %d; this server reads up to %d", w.Version, wireVersion),
		}
	}
	if err := w.check(); err != nil {
		return core.Job{}, &unreadable{reason: ReasonUndecodable, err: err}
	}
	return core.Job{Tenant: w.Tenant, Run: w.Run, Epoch: w.Epoch, ID: w.Job, Template: w.Template, Files: w.Files}, nil
}

func (w wireJob) check() error {
	switch {
	case w.Version < 1:
		return errors.New("decode job: no version")
	case w.Tenant == "" || w.Run == "" || w.Job == "":
		return errors.New("decode job: tenant, run or job is missing")
	case w.Epoch < 0:
		return fmt.Errorf("decode job: epoch %d", w.Epoch)
	case len(w.Files) == 0:
		return errors.New("decode job: no files")
	}
	return nil
}

// messageID names the message of a job: the same (tenant, job, epoch) is the same
// message, whoever sends it and however often, and any other is another one. It
// is a UUID of version 8, 36 characters long, which every broker takes.
//
// The jobs of one run and epoch have IDs that follow each other, by the file's
// index: where IDs are in an index, the thousands of a run are then written to the
// same few pages and not each to one of its own. The rest of the ID is a hash.
func messageID(j core.Job) uuid.UUID {
	var file uint64
	name, single := string(j.ID), false
	if len(j.Files) == 1 && j.Files[0] >= 0 && uint64(j.Files[0]) < 1<<56 && j.ID == core.FileJobID(j.Run, j.Files[0]) {
		name, file, single = string(j.Run), uint64(j.Files[0]), true
	}
	key := make([]byte, 0, 160)
	key = binary.AppendUvarint(key, uint64(len(j.Tenant)))
	key = append(key, j.Tenant...)
	key = binary.AppendUvarint(key, uint64(len(name)))
	key = append(key, name...)
	key = binary.BigEndian.AppendUint64(key, uint64(j.Epoch))
	hash := sha256.Sum256(key)

	id := uuid.UUID(hash[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x1f | 0x80 // variant; 0x20 says that a file's index follows
	if single {
		id[8] |= 0x20
		for i := range 7 {
			id[15-i] = byte(file >> (8 * i))
		}
	}
	return id
}
