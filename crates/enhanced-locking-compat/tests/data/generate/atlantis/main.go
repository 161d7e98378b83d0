// Writes an atlantis.db with Atlantis' own code and dumps it. See ../README.md.
//
// STORE in the import path is replaced by the script: the package moved from server/core/db to server/core/boltdb.
package main

import (
	"fmt"
	"os"
	"time"

	store "github.com/runatlantis/atlantis/server/core/STORE"
	"github.com/runatlantis/atlantis/server/events/command"
	"github.com/runatlantis/atlantis/server/events/models"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func repo(host string, kind models.VCSHostType, name string) models.Repo {
	return models.Repo{
		FullName: name, Owner: "acme", Name: "infra",
		CloneURL:          "https://atlantis-bot:ghp_TOKEN0123456789@" + host + "/" + name + ".git",
		SanitizedCloneURL: "https://atlantis-bot:<redacted>@" + host + "/" + name + ".git",
		VCSHost:           models.VCSHost{Hostname: host, Type: kind},
	}
}

func pull(number int, r models.Repo) models.PullRequest {
	return models.PullRequest{
		Num: number, HeadCommit: "2737c45a7bd1f1b1e7a1b1b5d3a5a0a5c1f9e8d7",
		URL:        fmt.Sprintf("https://%s/%s/pull/%d", r.VCSHost.Hostname, r.FullName, number),
		HeadBranch: "feature/x&y", BaseBranch: "main", Author: "alice",
		State: models.OpenPullState, BaseRepo: r,
	}
}

func main() {
	db, err := store.New(os.Args[1])
	must(err)
	zone := time.FixedZone("CEST", 2*60*60)
	at := time.Date(2026, 8, 22, 9, 30, 15, 123456789, zone)
	github := repo("github.com", models.Github, "acme/infra")
	gitlab := repo("gitlab.example.com", models.Gitlab, "group/sub/repo")
	locks := []models.ProjectLock{
		{Project: models.NewProject("acme/infra", "envs/prod", "prod-net"), Pull: pull(42, github),
			User: models.User{Username: "alice"}, Workspace: "default", Time: at},
		{Project: models.NewProject("acme/infra", ".", ""), Pull: pull(43, github),
			User: models.User{Username: "bob", Teams: []string{"ops", "<all>"}}, Workspace: "default", Time: at.UTC()},
		{Project: models.NewProject("group/sub/repo", "./a//b/", ""), Pull: pull(-7, gitlab),
			User: models.User{Username: "ümlaut\u2028"}, Workspace: "staging", Time: at.Truncate(time.Second)},
	}
	for _, lock := range locks {
		acquired, _, err := db.TryLock(lock)
		must(err)
		if !acquired {
			must(fmt.Errorf("not acquired: %+v", lock.Project))
		}
	}
	_, err = db.LockCommand(command.Apply, time.Unix(1787383815, 0))
	must(err)
	planned := command.ProjectResult{Command: command.Plan, RepoRelDir: "envs/prod", Workspace: "default", ProjectName: "prod-net"}
	planned.PlanSuccess = &models.PlanSuccess{TerraformOutput: "1 to add"}
	failed := command.ProjectResult{Command: command.Plan, RepoRelDir: ".", Workspace: "default"}
	failed.Failure = "it failed"
	_, err = db.UpdatePullWithResults(pull(42, github), []command.ProjectResult{planned, failed})
	must(err)
	must(db.Close())
}
