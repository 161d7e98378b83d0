//! The list of cases and the macro that makes tests of them. Owns the names; a test below keeps it complete.

/// Hands the list of cases to a macro: areas with the names of their cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_list {
    ($then:ident $($args:tt)*) => {
        $crate::$then! {
            $($args)*
            basics {
                an_open_store_can_be_asked
                time_follows_the_stores_clock
                a_closed_store_takes_no_changes
                closing_twice_is_harmless
            }
            batches {
                a_batch_is_held_together_in_the_order_asked
                one_blocked_key_leaves_all_as_they_were
                every_blocked_key_is_named
                a_key_asked_for_twice_is_refused
                an_id_named_twice_in_a_batch_is_refused
                a_batch_has_a_greatest_size
                own_locks_count_as_granted
                a_retried_batch_gets_the_same_grants
                a_finished_request_fails_the_whole_batch
                an_upgrade_fails_the_whole_batch
                an_id_in_use_fails_the_whole_batch
                a_batch_does_not_pass_a_waiting_writer
                an_empty_batch_is_held
                locks_of_a_batch_live_on_their_own
                a_batch_frees_what_has_expired_first
                a_batch_gives_no_second_place_to_an_owner_that_waits
                a_blocked_key_of_a_batch_names_at_most_sixteen_holders
                a_retry_fails_a_batch_once_it_is_over
            }
            cancellation {
                a_waiting_request_leaves_the_line
                a_cancelled_request_is_never_granted
                an_unclaimed_grant_is_given_back
                a_claimed_lock_is_not_cancelled
                a_sticky_grant_by_hand_off_is_not_cancelled
                what_ended_before_keeps_its_end
                an_acquire_that_arrives_after_its_cancel_is_refused
                the_generation_that_was_meant_is_cancelled
                another_generation_is_left_alone
                a_generation_means_a_place_and_not_a_grant
                an_unseen_request_is_not_noted_with_a_generation
                reason_and_cause_are_kept
                an_owner_may_ask_again_after_its_cancel
            }
            claims {
                a_leased_waiter_gets_a_window_to_claim
                an_unclaimed_grant_goes_to_the_next
                asking_for_its_turn_claims_the_grant
                renewing_claims_the_grant
                retrying_claims_the_grant
                a_sticky_waiter_need_not_claim
                a_claimed_grant_outlives_the_window
                an_unclaimed_grant_can_be_released
                a_grant_nobody_wants_is_freed
                absent_waiters_are_tried_one_after_another
                the_window_to_claim_ends_with_the_greatest_age
                a_claim_does_not_start_the_greatest_age_anew
                the_greatest_age_begins_with_the_grant
                a_renewal_that_claims_can_change_the_lease
                asking_under_another_id_claims_the_grant
                a_batch_claims_the_grant
            }
            clearing {
                an_owner_loses_all_locks_and_places
                what_is_cleared_goes_to_those_who_wait
                a_cleared_owner_is_not_granted_its_own_lock
                a_pull_is_of_exactly_one_repository
                a_pull_is_cleared_whoever_the_owners_are
                an_owner_is_matched_whole
                clearing_nothing_changes_nothing
                clearing_tells_who_and_why
                after_a_transfer_the_lock_is_cleared_with_its_new_pull
                locks_and_places_are_cleared_in_the_order_of_keys
                all_of_a_pull_ends_before_anything_is_handed_on
            }
            durability {
                holders_survive_a_restart_with_their_tokens
                the_line_survives_a_restart_in_order
                tokens_rise_over_a_restart
                what_was_finished_stays_finished_over_a_restart
                the_feed_goes_on_over_a_restart
                leases_begin_anew_after_a_restart
                a_lease_that_ran_out_while_closed_is_given_time
                claims_and_places_begin_anew_after_a_restart
                a_restart_does_not_lengthen_a_wait
                a_store_can_be_opened_many_times
                a_hand_off_that_a_sweep_began_is_made_after_a_restart
            }
            edges {
                a_waiter_waits_for_the_holder
                a_writer_waits_for_all_ahead_of_it
                a_reader_waits_for_writers_ahead_and_not_for_readers
                an_owner_that_waits_twice_has_two_edges
                edges_go_when_the_lock_comes
                the_whole_graph_is_read_in_pages
                a_bad_cursor_of_the_graph_is_an_error
                soft_edges_name_the_nearest_sixty_four
            }
            events {
                every_change_has_one_event
                every_end_has_its_event
                sequences_have_no_gaps
                refusals_and_questions_make_no_events
                events_show_request_token_and_time
                a_grant_tells_how_long_it_was_waited_for
                joining_tells_the_place
                a_waiter_has_no_token_in_its_events
                ends_come_before_the_grants_they_cause
            }
            exclusion {
                a_free_key_is_held_at_once
                a_second_owner_waits_in_line
                an_owner_that_may_not_wait_is_told_who_holds_it
                a_request_that_was_busy_may_be_sent_again
                busy_names_at_most_sixteen_holders
                keys_do_not_disturb_each_other
                the_longest_names_are_taken
                a_released_key_is_free_again
                a_release_hands_the_lock_on
                a_record_shows_all_that_was_asked
                a_stale_token_releases_nothing
            }
            feed {
                the_feed_resumes_from_every_cursor
                a_cursor_survives_being_written_down
                an_empty_page_keeps_the_cursor
                the_end_of_the_feed_shows_only_what_comes_later
                the_end_of_an_empty_feed_is_a_cursor
                events_that_are_gone_are_reported
                a_cursor_at_the_edge_has_missed_nothing
                waiting_for_events_ends_at_once_if_there_are_some
                a_change_wakes_those_who_wait_for_events
                waiting_for_events_in_vain_ends
            }
            find {
                a_request_is_found_at_every_stage
                finding_does_not_claim
                finding_does_not_keep_a_place
                an_id_cancelled_unseen_is_found
                an_id_of_another_key_is_not_found_by_its_ticket
            }
            force {
                a_forced_lock_goes_to_the_next
                a_holder_that_was_forced_out_finds_out
                only_the_named_holder_is_forced_out
                all_holders_are_forced_out_without_a_name
                forcing_a_free_key_takes_nothing
                forcing_somebody_else_takes_nothing
                holders_are_forced_out_in_the_order_of_their_ids
            }
            idempotency {
                a_retry_of_a_granted_request_gets_the_same_grant
                a_retry_of_a_waiting_request_keeps_its_place
                a_retry_after_the_end_is_not_granted_anew
                an_id_of_another_owner_is_refused
                an_id_with_another_mode_is_refused
                an_id_that_lives_on_another_key_is_refused
                a_finished_id_is_over_for_every_owner
                a_second_release_is_told_apart
                a_second_release_with_another_token_is_refused
                releasing_what_was_never_held_finds_nothing
                a_waiter_has_nothing_to_release
                a_second_cancel_finds_the_first
                the_oldest_end_is_forgotten_first
                a_retry_with_other_details_is_the_same_request
                an_id_counts_before_what_the_owner_has
                a_cancel_of_what_ended_finds_its_end_with_any_generation
            }
            leases {
                a_lease_runs_out_at_its_deadline_and_not_before
                renewing_starts_the_lease_anew
                a_renewal_can_change_the_lease
                a_sticky_lock_never_runs_out
                renewing_a_sticky_lock_confirms_it
                an_expired_lock_cannot_be_renewed
                an_expired_lock_cannot_be_released
                the_greatest_age_ends_a_lock_that_is_renewed
                the_greatest_age_ends_a_sticky_lock
                many_renewals_are_answered_in_order
                no_renewals_have_no_answers
                whoever_asks_finds_an_expired_lock_handed_on
                reading_does_not_end_an_expired_lock
                renewing_a_sticky_lock_gives_it_no_lease
            }
            limits {
                a_line_has_a_greatest_length
                a_full_line_still_answers_those_in_it
                an_owner_waits_in_so_many_lines
                so_many_wait_in_all
                so_many_are_held_in_all
                a_batch_that_does_not_fit_takes_nothing
                a_refused_request_may_be_sent_again
            }
            priority {
                without_credits_priorities_change_nothing
                the_more_important_goes_first
                a_place_counts_with_its_credit
                a_waiter_is_overtaken_only_inside_the_credit_window
                nobody_is_overtaken_for_ever
                an_urgent_reader_passes_a_writer_inside_its_window
                priority_does_not_take_a_lock_away
            }
            queries {
                locks_are_listed_in_the_order_of_keys
                pages_show_every_lock_once
                holders_of_one_key_may_span_pages
                a_cursor_holds_while_locks_come_and_go
                locks_are_filtered_by_prefix
                locks_are_filtered_by_owner_and_pull
                an_empty_store_has_one_empty_page
                a_page_has_at_most_its_greatest_size
                a_bad_cursor_is_an_error
                only_lines_somebody_stands_in_are_listed
                lines_come_in_pages_and_by_prefix
                a_resource_shows_the_head_of_its_line
                holders_of_one_key_are_listed_in_the_order_of_their_ids
            }
            queueing {
                waiters_are_served_in_the_order_they_came
                those_who_come_at_the_same_time_keep_their_order
                places_are_counted_from_one
                a_limited_wait_times_out
                a_limited_wait_does_not_limit_the_lock
                a_silent_leased_waiter_loses_its_place
                asking_keeps_the_place_of_a_leased_waiter
                a_sticky_waiter_keeps_its_place_in_silence
                those_who_are_gone_are_passed_over
                a_newcomer_does_not_wait_behind_those_who_are_gone
                a_newcomer_does_not_overtake_at_an_expiry
                joining_again_gives_another_generation
                an_unknown_request_is_unknown
                asking_under_another_id_keeps_the_place_as_well
                who_is_late_and_silent_has_timed_out
            }
            reentry {
                the_holder_gets_its_own_grant_back
                an_exclusive_holder_that_asks_for_shared_has_it
                a_shared_holder_that_asks_for_exclusive_is_refused
                a_waiting_owner_keeps_its_place
                a_waiting_reader_that_asks_for_exclusive_is_refused
                a_waiting_writer_that_asks_for_shared_keeps_its_place
                asking_again_does_not_lengthen_the_lease
                an_owner_may_hold_many_keys
            }
            reprioritise {
                raising_moves_a_request_forward
                lowering_moves_a_request_back
                the_new_place_counts_from_the_time_of_joining
                equal_ranks_keep_the_order_of_arrival_afterwards
                the_event_tells_both_priorities
                the_same_priority_is_no_change
                a_retry_after_a_change_keeps_the_new_priority
                a_reader_raised_past_the_writer_is_let_in
                readers_behind_a_lowered_writer_are_let_in
                only_waiting_requests_have_a_priority_to_change
                changing_a_priority_keeps_no_place
                who_is_let_in_by_a_priority_has_to_claim
                a_changed_priority_keeps_time_and_generation
            }
            settling {
                a_force_meets_no_expired_holder
                a_clearing_meets_no_expired_holder
                a_cancel_finds_what_was_due_to_be_granted
                a_priority_finds_what_was_due_to_be_granted
                everything_that_is_over_ends_before_anybody_is_granted
                another_key_is_left_alone
                lists_and_figures_end_nothing
            }
            sharing {
                shared_owners_hold_together
                a_writer_waits_for_every_reader
                a_reader_waits_for_a_writer
                a_queued_writer_stops_new_readers
                readers_at_the_head_are_let_in_together
                a_stream_of_readers_does_not_starve_a_writer
                writers_and_readers_take_turns_in_order
                a_writer_that_leaves_the_line_lets_readers_in
                a_writer_that_gives_up_lets_readers_in
                one_reader_leaving_does_not_disturb_the_others
            }
            stats {
                an_empty_store_counts_nothing
                locks_waiters_and_resources_are_counted
                the_oldest_wait_is_told
                counts_go_back_to_nothing
            }
            sweeping {
                a_sweep_without_work_does_nothing
                a_sweep_tells_when_the_next_time_runs_out
                a_sweep_hands_an_expired_lock_on
                a_sweep_ends_waits_keep_alives_and_claims
                a_sweep_keeps_to_its_budget
                a_sweep_begins_with_what_ended_first
                a_renewed_lease_is_not_swept
                what_is_over_at_once_ends_in_the_order_of_keys_and_ids
                a_hand_off_ends_nobody_before_its_turn
                waiters_that_are_over_count_in_the_budget
                what_a_sweep_leaves_is_handed_on_by_whoever_comes
                without_a_budget_nothing_is_swept
            }
            tokens {
                tokens_rise_while_the_clock_stands_still
                a_token_is_not_below_server_time
                tokens_rise_over_every_kind_of_end
                tokens_rise_after_a_key_was_gone_for_long
                readers_have_tokens_of_their_own
                the_feed_tells_the_tokens_in_order
            }
            transfer {
                a_lock_gets_a_new_owner_and_a_new_token
                a_transfer_without_user_and_pull_leaves_none
                the_old_token_is_stale_after_a_transfer
                the_old_owner_may_join_the_line
                a_repeated_transfer_gives_the_same_answer
                a_transfer_to_oneself_changes_nothing
                a_transfer_starts_the_lease_anew
                a_transfer_is_one_event_that_names_both
                a_waiting_heir_holds_by_its_own_request
                a_waiting_leased_heir_has_to_claim
                a_repeated_transfer_to_a_waiter_gives_the_same_answer
                an_heir_that_holds_already_is_refused
                an_heir_that_waits_in_another_mode_is_refused
                one_of_many_readers_can_be_replaced
                what_is_not_held_cannot_be_transferred
                a_stale_token_does_not_transfer_on
                an_expired_lock_cannot_be_transferred
                an_unclaimed_grant_can_be_transferred
                a_transfer_starts_the_greatest_age_anew
                a_waiting_heir_gets_its_own_lease
                a_lock_that_was_passed_on_and_released_is_not_held
            }
            turns {
                an_early_end_of_waiting_tells_the_place
                a_release_wakes_the_next
                a_cancel_wakes_the_one_that_waits
                a_force_a_clear_a_transfer_and_a_priority_wake
                a_clear_wakes_those_it_cancels
                a_sweep_wakes_those_it_grants_and_ends
                exactly_the_right_one_of_many_is_woken
                all_readers_at_the_head_are_woken
                two_who_wait_for_one_request_are_both_answered
                what_does_not_wait_is_answered_at_once
                a_waiter_whose_future_is_dropped_keeps_its_place
                a_turn_that_comes_after_a_drop_is_not_lost
                an_acquire_that_is_dropped_happened_or_did_not
                a_dropped_acquire_can_be_cancelled
            }
        }
    };
}

/// Makes one test of every case of the suite, in modules by area: `memory::exclusion::a_free_key_is_held_at_once` …
///
/// Takes the name of the module to make and an expression that makes a
/// [`Fixture`](crate::conformance::Fixture); it is evaluated once per case, inside a tokio runtime.
///
/// ```no_run
/// use std::{sync::Arc, time::Duration};
/// use enhanced_locking_core::{TablePolicy, memory::MemoryBackend};
/// use enhanced_locking_foundation::{LockBackend, ManualClock};
/// use enhanced_locking_testkit::conformance::{Fixture, FixturePolicy};
///
/// struct Mine(Arc<ManualClock>);
///
/// #[async_trait::async_trait]
/// impl Fixture for Mine {
///     async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
///         let policy = TablePolicy { limits: policy.limits, timing: policy.timing, ..TablePolicy::default() };
///         MemoryBackend::new(policy, self.0.clone())
///     }
///
///     async fn advance(&self, by: Duration) {
///         self.0.advance(by);
///     }
/// }
///
/// enhanced_locking_testkit::backend_conformance!(mine, Mine(Arc::default()));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! backend_conformance {
    ($name:ident, $fixture:expr) => {
        // A function and a module may share a name; so the fixture is named where the caller's names are known.
        #[cfg(test)]
        fn $name() -> impl $crate::conformance::Fixture {
            $fixture
        }

        #[cfg(test)]
        mod $name {
            $crate::__conformance_list! { __conformance_tests $name }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($name:ident $($area:ident $cases:tt)*) => {
        $($crate::__conformance_area! { $name $area $cases })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_area {
    ($name:ident $area:ident { $($case:ident)* }) => {
        mod $area {
            $(
                #[test]
                fn $case() {
                    $crate::conformance::run(
                        stringify!($case),
                        super::super::$name,
                        |fixture| ::std::boxed::Box::pin($crate::conformance::$area::$case(fixture)),
                    );
                }
            )*
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_names {
    ($($area:ident { $($case:ident)* })*) => {
        &[$($(concat!(stringify!($area), "::", stringify!($case)),)*)*]
    };
}

/// The names of all cases, `area::case`, in the order of the list.
pub const CASES: &[&str] = __conformance_list!(__conformance_names);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_is_listed() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/conformance/cases");
        let mut written = BTreeSet::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let area = path.file_stem().unwrap().to_str().unwrap().to_owned();
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                if let Some(rest) = line.strip_prefix("pub async fn ") {
                    written.insert(format!("{area}::{}", rest.split('(').next().unwrap()));
                }
            }
        }
        let listed: BTreeSet<_> = CASES.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(listed, written);
        assert_eq!(listed.len(), CASES.len(), "no case is listed twice");
    }
}
