package main

import (
	"fmt"
	"time"

	"github.com/runatlantis/atlantis/server/events/command"
	"github.com/runatlantis/atlantis/server/events/models"
)

const (
	repo      = "acme/infra"
	workspace = "default"
	host      = "git.example.com"
)

// noon is when all locks were taken: answers are compared to the letter. It has an offset, and a fraction of a second.
var noon = time.Date(2026, 8, 22, 12, 0, 0, 123456700, time.FixedZone("", 2*60*60))

// pullOf is a pull request with everything that Atlantis fills in, and with what JSON writers disagree about.
func pullOf(repo string, number int) models.PullRequest {
	return models.PullRequest{
		Num:        number,
		HeadCommit: "2737c45a7bd1f1b1e7a1b1b5d3a5a0a5c1f9e8d7",
		URL:        fmt.Sprintf("https://%s/%s/pull/%d?a=1&b=<2>", host, repo, number),
		HeadBranch: "feature/ü",
		BaseBranch: "main",
		Author:     "alice",
		Body:       "line\nline\u2028 \"quoted\" \\ 日本 🔒",
		BaseRepo: models.Repo{
			FullName:          repo,
			Owner:             "acme",
			Name:              "infra",
			CloneURL:          "https://bot:not-a-token@git.example.com/acme/infra.git",
			SanitizedCloneURL: "https://bot:<redacted>@git.example.com/acme/infra.git",
			VCSHost:           models.VCSHost{Hostname: host, Type: models.Gitlab},
		},
	}
}

// lockOf is the lock that a pull request takes of a project.
func lockOf(repo, path, name string, number int) models.ProjectLock {
	return models.ProjectLock{
		Project:   models.NewProject(repo, path, name),
		Pull:      pullOf(repo, number),
		User:      models.User{Username: "bob", Teams: []string{"sre"}},
		Workspace: workspace,
		Time:      noon,
	}
}

// inWorkspace is the same lock in another workspace.
func inWorkspace(lock models.ProjectLock, workspace string) models.ProjectLock {
	lock.Workspace = workspace
	return lock
}

// planOf is the result of a plan that changes something.
func planOf(path, name string) command.ProjectResult {
	return command.ProjectResult{
		ProjectCommandOutput: command.ProjectCommandOutput{
			PlanSuccess: &models.PlanSuccess{TerraformOutput: "Plan: 1 to add, 0 to change, 0 to destroy."},
		},
		Command: command.Plan, RepoRelDir: path, Workspace: workspace, ProjectName: name,
	}
}

// failureOf is the result of a command that failed.
func failureOf(path, name string, of command.Name) command.ProjectResult {
	return command.ProjectResult{
		ProjectCommandOutput: command.ProjectCommandOutput{Failure: "no credentials"},
		Command:              of, RepoRelDir: path, Workspace: workspace, ProjectName: name,
	}
}

// appliedOf is the result of an apply that worked.
func appliedOf(path, name string) command.ProjectResult {
	return command.ProjectResult{
		ProjectCommandOutput: command.ProjectCommandOutput{ApplySuccess: "Apply complete!"},
		Command:              command.Apply, RepoRelDir: path, Workspace: workspace, ProjectName: name,
	}
}
