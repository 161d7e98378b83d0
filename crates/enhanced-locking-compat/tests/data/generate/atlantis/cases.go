// Asks Atlantis' own types what they make of good and damaged values. See ../README.md.
//
// Every line of the output: kind, given (hex), verdict, answer (hex), separated by tabs.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strings"

	"github.com/runatlantis/atlantis/server/core/locking"
	"github.com/runatlantis/atlantis/server/events/command"
	"github.com/runatlantis/atlantis/server/events/models"
)

var out = bufio.NewWriter(os.Stdout)

func line(kind string, given []byte, ok bool, answer []byte) {
	verdict := "error"
	if ok {
		verdict = "ok"
	}
	fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", kind, hex.EncodeToString(given), verdict, hex.EncodeToString(answer))
}

func lock(raw []byte) {
	var value models.ProjectLock
	if err := json.Unmarshal(raw, &value); err != nil {
		line("lock", raw, false, nil)
		return
	}
	// Go reads offsets of time that it then refuses to write: no answer.
	again, _ := json.Marshal(value)
	line("lock", raw, true, again)
}

func commandLock(raw []byte) {
	var value command.Lock
	if err := json.Unmarshal(raw, &value); err != nil {
		line("command", raw, false, nil)
		return
	}
	again, _ := json.Marshal(value)
	line("command", raw, true, again)
}

func text(raw []byte) {
	again, _ := json.Marshal(string(raw))
	line("string", raw, true, again)
}

func key(raw string) {
	matches, err := locking.IsCurrentLocking(raw)
	if err != nil {
		line("key", []byte(raw), false, nil)
		return
	}
	parts, _ := json.Marshal(matches[1:])
	line("key", []byte(raw), true, parts)
}

func main() {
	base := `{"Project":{"ProjectName":"prod-net","RepoFullName":"acme/infra","Path":"envs/prod"},"Pull":{"Num":42,"HeadCommit":"2737c45a7bd1","URL":"https://github.com/acme/infra/pull/42","HeadBranch":"feature/x","BaseBranch":"main","HardenedNonPRRefCheckout":false,"Author":"alice","Body":"a\nb","State":0,"BaseRepo":{"FullName":"acme/infra","Owner":"acme","Name":"infra","CloneURL":"https://u:t@github.com/acme/infra.git","SanitizedCloneURL":"https://u:\u003credacted\u003e@github.com/acme/infra.git","VCSHost":{"Hostname":"github.com","Type":0}}},"User":{"Username":"alice","Teams":["a","b"]},"Workspace":"default","Time":"2026-08-22T09:30:15.123456789+02:00"}`
	for _, raw := range []string{base, `{}`, `null`, ``, ` `, ` {} `, `[]`, `1`, `"x"`, `true`, `{}{}`, `{} x`, `{"a"}`, `{"a":}`, `{,}`, `{"a":1,}`,
		`{"Pull":null}`, `{"Pull":[]}`, `{"Pull":"x"}`, `{"Pull":{"Num":1.0}}`, `{"Pull":{"Num":1e2}}`, `{"Pull":{"Num":"1"}}`, `{"Pull":{"Num":-0}}`,
		`{"Pull":{"Num":01}}`, `{"Pull":{"Num":-}}`, `{"Pull":{"Num":+1}}`, `{"Pull":{"Num":9223372036854775807}}`, `{"Pull":{"Num":9223372036854775808}}`,
		`{"Pull":{"Num":-9223372036854775808}}`, `{"Pull":{"Num":-9223372036854775809}}`, `{"Pull":{"Num":null}}`, `{"Pull":{"Num":true}}`,
		`{"pull":{"num":7}}`, `{"PULL":{"NUM":7},"Pull":{"State":1}}`, `{"Pull":{"Num":7},"pull":{"Num":8}}`, `{"Pull":{"Num":7},"Pull":null}`,
		`{"Wor\u006bspace":"w"}`, `{"wor` + "\u212a" + `\u017fpace":"w"}`, `{"Wor` + "\u212a" + `space":"w"}`, `{"Workspace":"a","workspace":"b"}`,
		`{"Workspace":"\ud83d\ude00"}`, `{"Workspace":"\ud83d"}`, `{"Workspace":"\ude00\ud83d"}`, `{"Workspace":"\ud83dx"}`, `{"Workspace":"\ud83d\u0041"}`, `{"Workspace":"\ud83d\ud83d\ude00"}`,
		"{\"Workspace\":\"\xff\xfe\"}", "{\"Workspace\":\"\xed\xa0\x80\"}", "{\"Workspace\":\"\xf0\x9f\x98\"}", "{\"Workspace\":\"a\xc3\"}", "{\"Wor\xffkspace\":\"a\"}", "{\"Workspace\":\"a\x1f\"}", "{\"Workspace\":\"a\x7f\"}", "{\"Workspace\":\"a\tb\"}",
		`{"Workspace":"\b\f\n\r\t\/\\\""}`, `{"Workspace":"\x"}`, `{"Workspace":"\u12"}`, `{"Workspace":"\u12G4"}`, `{"Workspace":"\u00e9"}`, `{"Workspace":"<>&` + "\u2028\u2029" + `"}`, `{"Workspace":null}`, `{"Workspace":1}`, `{"Workspace":["a"]}`, `{"Workspace":"a`,
		`{"User":{"Teams":null}}`, `{"User":{"Teams":[]}}`, `{"User":{"Teams":[null,"a"]}}`, `{"User":{"Teams":["a",1]}}`, `{"User":{"Teams":"a"}}`, `{"User":{"Teams":{}}}`, `{"User":{"Teams":["a"],"Teams":["b","c"]}}`,
		`{"Pull":{"HardenedNonPRRefCheckout":true}}`, `{"Pull":{"HardenedNonPRRefCheckout":null}}`, `{"Pull":{"HardenedNonPRRefCheckout":1}}`, `{"Pull":{"HardenedNonPRRefCheckout":"true"}}`, `{"Pull":{"HardenedNonPRRefCheckout":True}}`,
		`{"Extra":{"deep":[1,2,{"x":[true,false,null,1.5e-3]}]},"Workspace":"w"}`, `{"Extra":1.}`, `{"Extra":.5}`, `{"Extra":1e}`, `{"Extra":1e+}`, `{"Extra":-1.5E+10}`, `{"Extra":tru}`, `{"Extra":nul}`, `{"Extra":[1,]}`, `{"Extra":[1 2]}`, `{"":1}`, `{"\u0050ull":{"Num":3}}`, `{Pull:{}}`, `{'Pull':{}}`,
		`{"Extra":` + strings.Repeat("[", 9998) + strings.Repeat("]", 9998) + `}`, `{"Extra":` + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + `}`, `{"Extra":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`,
		"\ufeff{}", "\t\r\n {\"Workspace\" : \"w\" } \n", "\x0b{}", "\x00",
		`{"Project":{"RepoFullName":"a/b","Path":"p"},"Pull":{"Num":1},"User":{"Username":"u"},"Workspace":"default","Time":"2021-12-31T23:59:59Z"}`,
	} {
		lock([]byte(raw))
	}
	for _, t := range []string{`null`, `""`, `1`, `{}`, `"2026-08-22T09:30:15Z"`, `"2026-08-22T09:30:15z"`, `"2026-08-22t09:30:15Z"`, `"2026-08-22 09:30:15Z"`, `"2026-08-22T09:30:15"`, `"2026-08-22T09:30:15+02:00"`,
		`"2026-08-22T09:30:15-00:00"`, `"2026-08-22T09:30:15+00:00"`, `"2026-08-22T09:30:15+23:59"`, `"2026-08-22T09:30:15+24:00"`, `"2026-08-22T09:30:15+02:60"`, `"2026-08-22T09:30:15+0200"`, `"2026-08-22T09:30:15.1Z"`, `"2026-08-22T09:30:15.120000000Z"`,
		`"2026-08-22T09:30:15.1234567891Z"`, `"2026-08-22T09:30:15.999999999999Z"`, `"2026-08-22T09:30:15.Z"`, `"2026-08-22T09:30:15,5Z"`, `"2026-08-22T9:30:15Z"`, `"2026-08-22T24:00:00Z"`, `"2026-08-22T23:60:00Z"`, `"2026-08-22T23:59:60Z"`, `"2026-02-29T00:00:00Z"`, `"2024-02-29T00:00:00Z"`, `"1900-02-29T00:00:00Z"`, `"2000-02-29T00:00:00Z"`, `"2026-13-01T00:00:00Z"`, `"2026-00-01T00:00:00Z"`, `"2026-01-00T00:00:00Z"`, `"2026-04-31T00:00:00Z"`,
		`"0001-01-01T00:00:00Z"`, `"0000-01-01T00:00:00Z"`, `"9999-12-31T23:59:59.999999999Z"`, `"10000-01-01T00:00:00Z"`, `"-001-01-01T00:00:00Z"`, `"1969-12-31T23:59:59.5Z"`, `"1970-01-01T00:00:00+01:00"`, `"2026-08-22T09:30:15Z "`, `" 2026-08-22T09:30:15Z"`, `"2026-08-22T09:30:15ZZ"`, `"2026-08-22T09:30Z"`, `"2026-8-22T09:30:15Z"`, `"2026-08-22T09:30:15\u005a"`, `"2026\u002d08-22T09:30:15Z"`, "\"2026-08-22T09:30:15.\xff\"", `"2026-08-22T09:30:15+2:00"`, `"2026-08-22T09:30:15.5+05:30"`, `"2026-08-22T09:30:15−02:00"`, `"0001-01-01T00:00:00+01:00"`, `"9999-12-31T23:59:59-01:00"`} {
		lock([]byte(`{"Time":` + t + `}`))
	}
	for _, raw := range []string{`{"LockMetadata":{"UnixTime":1787383815},"CommandName":0}`, `{}`, `null`, ``, `{"CommandName":9}`, `{"CommandName":99}`, `{"CommandName":-1}`, `{"CommandName":"apply"}`, `{"LockMetadata":{"UnixTime":1.5}}`, `{"LockMetadata":null}`, `{"lockmetadata":{"unixtime":5},"commandname":1}`, `{"LockMetadata":5}`, `{"LockMetadata":{"UnixTime":-62135596800}}`} {
		commandLock([]byte(raw))
	}
	for _, raw := range []string{"", "plain", "<>&", "\u2028\u2029", "\x00\x01\x08\x09\x0a\x0b\x0c\x0d\x1f\x7f", "\"\\/'", "ü😀\ufffd", "\u0080\u009f", "\ufeff"} {
		text([]byte(raw))
	}
	for _, raw := range []string{"", "/", "//", "///", "////", "/////", "invalidkey", "owner/repo/path/workspace", "owner/repo/path/workspace/", "owner/repo/path/workspace/projectName", "owner/repo/parent/child/path/workspace/projectName", "acme/infra/./default/", "g/s/repo/./default/", "owner/repo/path/ws/a/b", "o/r/a/w/b/c", "acme/infra/parent/child/default", "a//b/c/d", "o/r/p\n/w/", "o/r/p/w/n\n", "\no/r/p/w/n", "ö/r/p/ü/n", "o/r/../p/w/"} {
		key(raw)
	}
	random := rand.New(rand.NewSource(1))
	alphabet := []byte("ab//")
	for i := 0; i < 150; i++ {
		raw := make([]byte, random.Intn(12))
		for j := range raw {
			raw[j] = alphabet[random.Intn(len(alphabet))]
		}
		key(string(raw))
	}
	paths := []string{"", "/", ".", "..", "../a", "./a", "a//b", "a/../b/", "/a", "//a", "/..", "/../a", "a/..", "a/../..", "a/../../b", "./..", "/./", "a/./b/.", "a/b/../../..", "...", "a/.../b"}
	for i := 0; i < 150; i++ {
		alphabet := []string{"a", ".", "..", "/", "/", "b"}
		raw := ""
		for j := random.Intn(9); j > 0; j-- {
			raw += alphabet[random.Intn(len(alphabet))]
		}
		paths = append(paths, raw)
	}
	for _, raw := range paths {
		project := models.NewProject("a/b", raw, "")
		line("path", []byte(raw), true, []byte(project.Path))
	}
	// Damage of one good value: bytes changed, removed, doubled.
	for i := 0; i < 400; i++ {
		raw := []byte(base)
		for n := 1 + random.Intn(2); n > 0; n-- {
			at := random.Intn(len(raw))
			switch random.Intn(4) {
			case 0:
				raw[at] = byte(random.Intn(256))
			case 1:
				raw = append(raw[:at], raw[at+1:]...)
			case 2:
				raw[at] = "{}[]\",:0123456789.eE+-ntf\\u /"[random.Intn(29)]
			case 3:
				raw[at] ^= 0x20
			}
		}
		lock(raw)
	}
	out.Flush()
}
