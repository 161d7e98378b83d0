package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/runatlantis/atlantis/server/events/models"
)

// transcript is what a server answered during one check, a line for each call: two servers that write the same lines are
// the same to Atlantis.
type transcript struct{ lines []string }

// say adds a line. An error belongs to the answer, and its text too: Atlantis shows it.
func (t *transcript) say(call string, answer any, err error) {
	text := fmt.Sprintf("%s: %s", call, show(answer))
	if err != nil {
		text += fmt.Sprintf(", error %q", err.Error())
	}
	t.lines = append(t.lines, text)
}

// show writes an answer so that equal ones are equal text: times in UTC, lists in order.
func show(answer any) string {
	switch value := answer.(type) {
	case string:
		return value
	case models.ProjectLock:
		value.Time = value.Time.UTC()
		return asJSON(value)
	case *models.ProjectLock:
		if value == nil {
			return "nothing"
		}
		return show(*value)
	case []models.ProjectLock:
		// SCAN promises no order, so List does not either.
		texts := []string{fmt.Sprintf("%d locks", len(value))}
		for _, lock := range value {
			texts = append(texts, show(lock))
		}
		slices.Sort(texts[1:])
		return strings.Join(texts, "; ")
	default:
		return asJSON(value)
	}
}

func asJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%#v", value)
	}
	return string(text)
}

// names shortens locks to what distinguishes them: repository, path and pull request.
func names(locks []models.ProjectLock) string {
	var texts []string
	for _, lock := range locks {
		texts = append(texts, fmt.Sprintf("%s/%s#%d", lock.Project.RepoFullName, lock.Project.Path, lock.Pull.Num))
	}
	slices.Sort(texts)
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, " ")
}

// difference describes the first line in which two transcripts differ, or is empty.
func difference(wanted, got []string) string {
	for index := range max(len(wanted), len(got)) {
		want, have := line(wanted, index), line(got, index)
		if want != have {
			return fmt.Sprintf("line %d\n  wanted %s\n  got    %s", index+1, want, have)
		}
	}
	return ""
}

func line(lines []string, index int) string {
	if index < len(lines) {
		return lines[index]
	}
	return "(no further call)"
}
