package webui

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"golang.org/x/text/feature/plural"
	xlanguage "golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"
)

// The catalogue: one file for each language, from a key to a text, or to one text
// for each plural form of the first number in it. Numbers are formatted as the
// language writes them.
//
//go:embed texts/*.json
var textFiles embed.FS

// language is one that pages are written in.
type language struct {
	Tag     string
	Name    string // in itself
	printer *message.Printer
	texts   map[string]bool
}

// languages are those of the catalogue. English is the first: it is the default for any
// other language.
var languages, languageMatcher = loadLanguages()

func loadLanguages() ([]language, xlanguage.Matcher) {
	builder := catalog.NewBuilder(catalog.Fallback(xlanguage.English))
	var list []language
	var tags []xlanguage.Tag
	for _, name := range []string{"en", "de"} {
		content, err := textFiles.ReadFile("texts/" + name + ".json")
		if err != nil {
			panic(err) // it is embedded
		}
		tag := xlanguage.MustParse(name)
		l := language{Tag: name, texts: map[string]bool{}}
		var texts map[string]json.RawMessage
		if err := json.Unmarshal(content, &texts); err != nil {
			panic(fmt.Sprintf("webui: %s: %v", path.Join("texts", name+".json"), err))
		}
		for key, raw := range texts {
			l.texts[key] = true
			if err := setText(builder, tag, key, raw); err != nil {
				panic(fmt.Sprintf("webui: texts/%s.json: %s: %v", name, key, err))
			}
		}
		l.printer = message.NewPrinter(tag, message.Catalog(builder))
		l.Name = l.T("language.name")
		list, tags = append(list, l), append(tags, tag)
	}
	return list, xlanguage.NewMatcher(tags)
}

func setText(b *catalog.Builder, tag xlanguage.Tag, key string, raw json.RawMessage) error {
	if raw[0] == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		return b.SetString(tag, key, text)
	}
	var forms struct{ One, Other string }
	if err := json.Unmarshal(raw, &forms); err != nil {
		return err
	}
	return b.Set(tag, key, plural.Selectf(1, "%d", plural.One, forms.One, plural.Other, forms.Other))
}

// maxAccepted bounds how much of the Accept-Language header is parsed.
const maxAccepted = 256

// chooseLanguage gives the first wanted language that there is.
func chooseLanguage(chosen, accepted string) language {
	chosen, accepted = chosen[:min(len(chosen), maxAccepted)], accepted[:min(len(accepted), maxAccepted)]
	_, at := xlanguage.MatchStrings(languageMatcher, chosen, accepted)
	return languages[at]
}

// T gives a text. One that is missing shows as its key, and a test finds it.
func (l language) T(key string, args ...any) string {
	if !l.texts[key] {
		return key
	}
	return l.printer.Sprintf(key, args...)
}

// Has reports whether there is such a text, for codes that other packages may add.
func (l language) Has(key string) bool { return l.texts[key] }

// list joins words as a sentence does.
func (l language) list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + l.T("list.and") + " " + words[len(words)-1]
}
