package webui

import (
	"net/http"
	"regexp"
	"sync"
	"time"

	xlanguage "golang.org/x/text/language"
)

// look is the user's choice of language, colours and time zone.
type look struct {
	language
	Theme string // "light", "dark" or "" for what the device says
	Zone  *time.Location
}

// Cookies of the look. They hold no secret and are valid for a year.
const (
	languageCookie = "lang"
	themeCookie    = "theme"
	zoneCookie     = "zone" // set by the script: only the browser knows it
	yearSeconds    = 365 * 24 * 60 * 60
)

var zoneName = regexp.MustCompile(`^[A-Za-z]{1,20}(/[A-Za-z0-9_+-]{1,30}){0,2}$`)

func lookOf(req *http.Request) look {
	value := func(name string) string {
		c, err := req.Cookie(name)
		if err != nil {
			return ""
		}
		return c.Value
	}
	l := look{Zone: time.UTC, language: chooseLanguage(value(languageCookie), req.Header.Get("Accept-Language"))}
	if theme := value(themeCookie); theme == "light" || theme == "dark" {
		l.Theme = theme
	}
	if name := value(zoneCookie); zoneName.MatchString(name) {
		l.Zone = zoneOf(name)
	}
	return l
}

// zones caches the time zones read from the machine's files, whose number bounds it.
var zones sync.Map

func zoneOf(name string) *time.Location {
	if zone, known := zones.Load(name); known {
		return zone.(*time.Location)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	zones.Store(name, zone)
	return zone
}

// setPreferences is POST /ui/preferences: the switches of language and colours.
func (u *ui) setPreferences(w http.ResponseWriter, r *request) error {
	form, err := r.form(w)
	if err != nil {
		return err
	}
	keep := func(name, value string) {
		c := &http.Cookie{ //nolint:gosec // Secure with TLS; a server on loopback has none
			Name: name, Value: value, Path: Prefix, MaxAge: yearSeconds,
			HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r.Request),
		}
		if value == "" {
			c.MaxAge = -1
		}
		http.SetCookie(w, c)
	}
	if tag := form.Get("lang"); tag != "" {
		if _, err := xlanguage.Parse(tag); err == nil {
			keep(languageCookie, chooseLanguage(tag, "").Tag)
		}
	}
	if form.Has("theme") {
		switch theme := form.Get("theme"); theme {
		case "light", "dark":
			keep(themeCookie, theme)
		default:
			keep(themeCookie, "")
		}
	}
	to := form.Get("back")
	if to == Prefix+"sign-in" {
		return r.redirect(w, to)
	}
	return r.redirect(w, localPath(to))
}
