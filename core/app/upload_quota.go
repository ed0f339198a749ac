package app

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/redrive/redrive/core"
)

// uploadsUnderWay counts the bytes of each tenant's uploads that are not runs yet, so that
// no tenant can fill the storage of all. It is empty while there are no uploads.
type uploadsUnderWay struct {
	mu      sync.Mutex
	tenants map[core.TenantID]*underWay // guarded by mu
}

type underWay struct {
	uploads int
	bytes   int64
}

// begin counts one more upload.
func (u *uploadsUnderWay) begin(tenant core.TenantID, most int) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.tenants[tenant]
	if of == nil {
		if u.tenants == nil {
			u.tenants = map[core.TenantID]*underWay{}
		}
		of = &underWay{}
		u.tenants[tenant] = of
	}
	if most > 0 && of.uploads >= most {
		return &core.Error{
			Code:    core.CodeUploadQuotaExceeded,
			Message: fmt.Sprintf("%d uploads of this tenant are under way, as many as may be at once; wait until one of them is done", most),
		}
	}
	of.uploads++
	return nil
}

// grow counts more bytes.
func (u *uploadsUnderWay) grow(tenant core.TenantID, n, most int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.tenants[tenant]
	if most > 0 && of.bytes+n > most {
		return &core.Error{
			Code:    core.CodeUploadQuotaExceeded,
			Message: fmt.Sprintf("uploads of this tenant that are under way may hold %d bytes together; wait until one of them is done, or send less at a time", most),
		}
	}
	of.bytes += n
	return nil
}

func (u *uploadsUnderWay) shrink(tenant core.TenantID, n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tenants[tenant].bytes -= n
}

// end removes an upload and its bytes from the counts.
func (u *uploadsUnderWay) end(tenant core.TenantID, n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.tenants[tenant]
	of.uploads--
	of.bytes -= n
	if of.uploads == 0 {
		delete(u.tenants, tenant)
	}
}

// errTooLarge ends the reading of a file that is over its limit.
var errTooLarge = errors.New("the file is too large")

// meteredReader reads one file up to its limit, counts its bytes against the tenant's
// quota as they arrive, and records the error that ended the reading.
type meteredReader struct {
	upload   *Upload
	from     io.Reader
	read     int64 // bytes
	counted  int64 // of them, against the quota
	tooLarge bool
	err      error // other than io.EOF
}

// Read fails with errTooLarge at the first byte above the limit.
func (m *meteredReader) Read(p []byte) (int, error) {
	u := m.upload
	if m.err != nil {
		return 0, m.err
	}
	if left := u.limit - m.read; u.limit > 0 && int64(len(p)) > left+1 {
		p = p[:left+1]
	}
	n, err := m.from.Read(p)
	m.read += int64(n)
	switch {
	case u.limit > 0 && m.read > u.limit:
		m.tooLarge, m.err = true, errTooLarge
		return 0, m.err
	case err != nil && !errors.Is(err, io.EOF):
		m.err = err
	}
	if len(u.refused) == 0 && n > 0 { // else nothing is stored
		if err := u.svc.uploads.grow(u.tenant, int64(n), u.svc.opts.MaxTenantUploadBytes); err != nil {
			m.err = err
			return 0, err
		}
		m.counted += int64(n)
		u.bytes += int64(n)
	}
	return n, err
}

// giveBack subtracts a file that was not stored from the counts.
func (m *meteredReader) giveBack() {
	m.upload.svc.uploads.shrink(m.upload.tenant, m.counted)
	m.upload.bytes -= m.counted
	m.counted = 0
}
