//! Contract §5.1, cases 27 to 36: statuses of pull requests.

use enhanced_locking_compat::legacy::{PolicySet, ProjectResult};
use enhanced_locking_compat::record::{PlanStatus, Pull, PullStatus};

use crate::common::{Store, pull};

fn result(dir: &str, workspace: &str, name: &str, status: PlanStatus) -> ProjectResult {
    ProjectResult {
        workspace: workspace.to_owned(),
        repo_rel_dir: dir.to_owned(),
        project_name: name.to_owned(),
        status,
        policies: None,
    }
}

fn policy(name: &str, passed: bool, approver: &str) -> PolicySet {
    let approvals = match approver {
        "" => "null".to_owned(),
        approver => format!(r#"[{{"Approver":"{approver}","Hashes":["ab"]}}]"#),
    };
    let json = format!(
        r#"{{"PolicySetName":"{name}","Passed":{passed},"Approvals":{approvals},"Hashes":["ab"],"PolicyItemRegex":""}}"#
    );
    PolicySet::read(json.as_bytes()).unwrap()
}

fn projects(status: &PullStatus) -> Vec<(&str, &str, &str, PlanStatus)> {
    let parts = status.projects.iter();
    parts.map(|one| (&*one.repo_rel_dir, &*one.workspace, &*one.project_name, one.status)).collect()
}

async fn stored(store: &Store, pull: &Pull) -> String {
    let raw = store.legacy.pull_status(pull).await.unwrap().unwrap().raw().to_vec();
    String::from_utf8(raw).unwrap()
}

#[tokio::test]
async fn case_27_what_was_updated_is_read_byte_for_byte_as_atlantis_writes_it() {
    let store = Store::new();
    let results = [result(".", "default", "", PlanStatus::PlanErrored)];
    let answered = store.legacy.update_with_results(&pull(1), &results).await.unwrap();
    let found = store.legacy.pull_status(&pull(1)).await.unwrap().unwrap();
    assert_eq!(found, answered);
    assert_eq!(found.value().pull, pull(1));
    assert_eq!(projects(found.value()), [(".", "default", "", PlanStatus::PlanErrored)]);
    assert_eq!(
        stored(&store, &pull(1)).await,
        r#"{"Projects":[{"Workspace":"default","RepoRelDir":".","ProjectName":"","PolicyStatus":null,"Status":0}],"Pull":{"Num":1,"HeadCommit":"sha","URL":"https://github.com/owner/repo/pull/1","HeadBranch":"","BaseBranch":"main","HardenedNonPRRefCheckout":false,"Author":"lkysow","Body":"","State":0,"BaseRepo":{"FullName":"owner/repo","Owner":"owner","Name":"repo","CloneURL":"https://bot:s3cret@github.com/owner/repo.git","SanitizedCloneURL":"","VCSHost":{"Hostname":"github.com","Type":0}}}}"#
    );
}

#[tokio::test]
async fn case_28_what_was_deleted_is_gone() {
    let store = Store::new();
    let results = [result(".", "default", "", PlanStatus::Planned)];
    store.legacy.update_with_results(&pull(1), &results).await.unwrap();
    assert!(store.legacy.delete_pull_status(&pull(1)).await.unwrap());
    assert_eq!(store.legacy.pull_status(&pull(1)).await.unwrap(), None);
    assert!(!store.legacy.delete_pull_status(&pull(1)).await.unwrap());
}

#[tokio::test]
async fn case_29_one_project_is_updated() {
    let store = Store::new();
    store.legacy.update_project(&pull(1), "default", ".", PlanStatus::Applied).await.unwrap();
    assert_eq!(store.legacy.pull_status(&pull(1)).await.unwrap(), None);
    let results = [
        result(".", "default", "", PlanStatus::PlanErrored),
        result(".", "staging", "", PlanStatus::Applied),
    ];
    store.legacy.update_with_results(&pull(1), &results).await.unwrap();
    store.legacy.update_project(&pull(1), "default", ".", PlanStatus::PlanDiscarded).await.unwrap();
    assert_eq!(
        projects(store.legacy.pull_status(&pull(1)).await.unwrap().unwrap().value()),
        [(".", "default", "", PlanStatus::PlanDiscarded), (".", "staging", "", PlanStatus::Applied)]
    );
}

#[tokio::test]
async fn cases_30_to_32_another_commit_or_base_branch_starts_anew() {
    let old = |commit: &str, base: &str| {
        let mut old = pull(1);
        (old.head_commit, old.base_branch) = (commit.to_owned(), base.to_owned());
        old
    };
    for (before, now) in [
        (old("sha", "main"), old("newsha", "main")),
        (old("sha", "main"), old("sha", "release")),
        (old("sha", ""), old("sha", "main")),
    ] {
        let store = Store::new();
        let results = [result(".", "default", "", PlanStatus::Planned)];
        store.legacy.update_with_results(&before, &results).await.unwrap();
        let results = [result(".", "staging", "", PlanStatus::Applied)];
        let status = store.legacy.update_with_results(&now, &results).await.unwrap();
        assert_eq!(projects(status.value()), [(".", "staging", "", PlanStatus::Applied)]);
        assert_eq!(status.value().pull, now);
    }
    // A pull request that does not tell its base branch is not told from any.
    let store = Store::new();
    let results = [result(".", "default", "", PlanStatus::Planned)];
    store.legacy.update_with_results(&old("sha", "main"), &results).await.unwrap();
    let results = [result(".", "staging", "", PlanStatus::Planned)];
    let status = store.legacy.update_with_results(&old("sha", ""), &results).await.unwrap();
    assert_eq!(status.value().projects.len(), 2);
}

#[tokio::test]
async fn case_33_results_of_an_apply_are_merged() {
    let store = Store::new();
    let planned = [
        result("mergeme", "default", "", PlanStatus::Planned),
        result("projectname", "default", "projectname", PlanStatus::Planned),
        result("staythesame", "default", "", PlanStatus::Planned),
    ];
    store.legacy.update_with_results(&pull(1), &planned).await.unwrap();
    let applied = [
        result("mergeme", "default", "", PlanStatus::Applied),
        result("projectname", "default", "projectname", PlanStatus::ApplyErrored),
        result("newresult", "default", "", PlanStatus::Applied),
    ];
    let status = store.legacy.update_with_results(&pull(1), &applied).await.unwrap();
    assert_eq!(
        projects(status.value()),
        [
            ("mergeme", "default", "", PlanStatus::Applied),
            ("projectname", "default", "projectname", PlanStatus::ApplyErrored),
            ("staythesame", "default", "", PlanStatus::Planned),
            ("newresult", "default", "", PlanStatus::Applied),
        ]
    );
}

#[tokio::test]
async fn case_34_an_approval_replaces_the_policy_it_is_about() {
    let store = Store::new();
    let with = |mut result: ProjectResult, policies: &[PolicySet]| {
        result.policies = Some(policies.to_vec());
        result
    };
    let failed = [
        with(
            result("mergeme", "default", "", PlanStatus::PolicyCheckErrored),
            &[policy("p1", false, ""), policy("p2", false, "")],
        ),
        with(result("other", "default", "", PlanStatus::PolicyCheckErrored), &[policy("p1", false, "")]),
    ];
    store.legacy.update_with_results(&pull(1), &failed).await.unwrap();
    let approved = [with(
        result("mergeme", "default", "", PlanStatus::PolicyCheckPassed),
        &[policy("p1", true, "approver1"), policy("unknown", true, "approver1")],
    )];
    let status = store.legacy.update_with_results(&pull(1), &approved).await.unwrap();
    assert_eq!(
        projects(status.value()),
        [
            ("mergeme", "default", "", PlanStatus::PolicyCheckPassed),
            ("other", "default", "", PlanStatus::PolicyCheckErrored)
        ]
    );
    let raw = stored(&store, &pull(1)).await;
    let merged = format!("[{},{}]", policy("p1", true, "approver1").raw(), policy("p2", false, "").raw());
    assert!(raw.contains(&merged) && !raw.contains("unknown"), "{raw}");
}

#[tokio::test]
async fn case_35_approvals_outlive_a_new_commit() {
    let store = Store::new();
    let mut checked = result(".", "default", "", PlanStatus::PolicyCheckPassed);
    checked.policies = Some(vec![policy("p1", true, "boss")]);
    store.legacy.update_with_results(&pull(1), &[checked]).await.unwrap();
    let mut pushed = pull(1);
    pushed.head_commit = "next".to_owned();
    let planned = [result(".", "default", "", PlanStatus::Planned)];
    store.legacy.update_with_results(&pushed, &planned).await.unwrap();
    let raw = stored(&store, &pushed).await;
    assert!(raw.contains(policy("p1", true, "boss").raw()) && raw.contains(r#""Status":1"#), "{raw}");
}

#[tokio::test]
async fn case_36_what_cannot_be_read_is_overwritten() {
    let store = Store::new();
    let old = br#"{"Projects":[{"Workspace":"default","RepoRelDir":".","PolicyStatus":[{"PolicySetName":"p","Approvals":1}],"Status":6}],"Pull":{"Num":1,"HeadCommit":"sha","BaseBranch":"main"}}"#;
    for corrupt in [old.to_vec(), b"{".to_vec(), Vec::new()] {
        store.legacy.set_key("github.com::owner/repo::1", Some(corrupt)).await.unwrap();
        let refused = store.legacy.update_project(&pull(1), "default", ".", PlanStatus::Applied).await;
        assert!(refused.is_err());
        let planned = [result(".", "default", "", PlanStatus::Planned)];
        let status = store.legacy.update_with_results(&pull(1), &planned).await.unwrap();
        assert_eq!(projects(status.value()), [(".", "default", "", PlanStatus::Planned)]);
        assert!(stored(&store, &pull(1)).await.contains(r#""PolicyStatus":null"#));
    }
}

#[tokio::test]
async fn members_of_a_later_version_survive_a_merge() {
    let store = Store::new();
    let raw = br#"{"Projects":[{"Workspace":"default","RepoRelDir":".","ProjectName":"","PolicyStatus":null,"Status":1,"Lease":"x"}],"Pull":{"Num":1,"HeadCommit":"sha","BaseBranch":"main","Draft":true},"Generation":7}"#;
    store.legacy.set_key("github.com::owner/repo::1", Some(raw.to_vec())).await.unwrap();
    let results = [result(".", "default", "", PlanStatus::Applied)];
    store.legacy.update_with_results(&pull(1), &results).await.unwrap();
    let raw = stored(&store, &pull(1)).await;
    for member in [r#""Lease":"x""#, r#""Draft":true"#, r#""Generation":7"#, r#""Status":4"#] {
        assert!(raw.contains(member), "{member} in {raw}");
    }
}

#[tokio::test]
async fn a_pull_request_whose_key_is_ambiguous_is_refused() {
    let mut strange = pull(1);
    strange.base_repo.full_name = "a::b".to_owned();
    assert!(Store::new().legacy.pull_status(&strange).await.is_err());
}
