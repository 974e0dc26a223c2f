//! The contract of [`Store`] as code: plain functions over `&dyn Store`.
//!
//! An engine proves itself in one line, `freshet_content::store_contract!(make)`, where `make` is an async function that
//! gives a [`Made`] with an empty store. With `, if condition` behind it, a case passes without a look where the condition
//! does not hold.

use std::sync::Arc;

use super::Store;

/// An empty store for one case, and what must live as long as it.
pub struct Made {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Dropped after the case: a folder, a table.
    pub guard: Box<dyn std::any::Any + Send>,
}

macro_rules! cases {
    (($dollar:tt) $($(#[$doc:meta])* $module:ident { $($case:ident,)+ })+) => {
        $($(#[$doc])* pub mod $module;)+

        /// Names of all cases.
        pub const CASES: &[&str] = &[$($(stringify!($case),)+)+];

        /// Makes each case of the contract a test of its own.
        #[macro_export]
        macro_rules! store_contract {
            ($dollar make:path) => {
                $crate::store_contract!($dollar make, if true);
            };
            ($dollar make:path, if $dollar there:expr) => {
                $($(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        if !$dollar there {
                            return;
                        }
                        let made = $dollar make().await;
                        $crate::store::contract::$module::$case(made.store.as_ref()).await;
                    }
                )+)+
            };
        }
    };
}

pub mod support;

cases! {
    ($)
    /// Deliveries and dedup marks.
    ingest {
        p1_a_delivery_is_read_back_whole,
        p2_either_dedup_key_makes_a_duplicate,
        p2_of_many_equal_deliveries_at_once_exactly_one_is_accepted,
        p2_the_same_request_again_gets_its_first_answer,
        p2_the_same_request_without_keys_gets_its_first_answer,
        p2_a_mark_is_forgotten_after_its_horizon,
        p7_marks_belong_to_their_client_and_source,
        p7_the_id_of_a_delivery_of_another_client_is_refused,
        changes_of_one_delivery_apply_in_order,
        a_big_delivery_is_stored_whole,
        a_digest_only_delivery_keeps_no_body,
        an_empty_body_is_kept,
    }
    /// Versions, tombstones, drafts, touches.
    change {
        p3_every_arrival_order_ends_in_the_same_state,
        p3_an_older_version_is_stale_and_writes_nothing,
        p3_a_delete_of_an_unknown_key_leaves_a_tombstone,
        p3_a_second_delete_keeps_the_higher_version,
        p6_the_same_content_is_confirmed_without_an_effect,
        p6_a_draft_is_stored_without_a_build,
        p6_what_no_site_shows_is_stored_without_a_build,
        a_draft_over_published_content_unpublishes_it,
        a_delete_says_what_went_away,
        a_touch_keeps_the_content_and_marks_the_entry,
        a_touch_of_an_unknown_entry_creates_it_without_content,
        a_touch_revives_a_tombstone,
        a_touch_of_everything_stores_no_entry,
        tags_and_slug_follow_the_content,
    }
    /// Removing for good.
    redact {
        a_redaction_removes_content_and_bodies,
        a_redaction_covers_every_locale,
        a_redaction_of_a_source_removes_everything_of_it,
        a_redaction_of_nothing_still_guards_the_key,
        p7_a_redaction_stays_inside_its_client_and_source,
    }
    /// Single entries and lists.
    list {
        entries_are_found_in_the_order_of_the_keys,
        p7_a_client_sees_only_its_own_entries,
        every_filter_selects_what_it_says_in_both_orders,
        pages_have_every_entry_once,
        newest_pages_have_every_entry_once_also_within_one_instant,
        expired_entries_are_listed_only_on_demand,
        an_overview_has_no_fields,
        a_page_of_large_entries_is_cut,
        many_entries_that_pass_no_filter_end_in_empty_pages,
    }
    /// The change feed and the outbox.
    feed {
        the_feed_resumes_without_gap_or_double,
        the_feed_has_effects_only,
        p7_the_feed_of_a_client_is_its_own,
        a_position_that_is_gone_is_out_of_range,
        p4_the_outbox_keeps_what_was_not_confirmed,
        p6_the_outbox_has_published_effects_only,
        a_delivery_tells_when_it_was_published,
    }
    /// Snapshots.
    export {
        a_snapshot_has_every_published_entry_by_key,
        a_snapshot_is_one_view_with_its_position,
        a_snapshot_has_expired_entries,
        p7_a_snapshot_has_only_the_sources_asked_for,
        an_empty_snapshot_ends,
    }
    /// Ending freshness.
    invalidate {
        each_selector_invalidates_what_it_says,
        a_request_id_has_effect_once,
        a_request_id_for_something_else_is_refused,
        a_rebuild_touches_each_affected_source_once,
        p3_a_tombstone_is_not_invalidated,
        a_confirmation_makes_an_entry_fresh_again,
        many_entries_are_invalidated,
    }
    /// Lists of deliveries, and forgetting.
    keep {
        deliveries_are_listed_newest_first,
        delivery_filters_and_pages_agree,
        p7_a_delivery_of_another_client_is_not_there,
        everything_is_forgotten_in_time,
        p4_what_was_not_published_is_not_forgotten,
        p3_a_tombstone_outlives_every_retry,
    }
}

#[cfg(test)]
mod tests {
    /// Every function of the suite is in the list, so none is skipped by an engine.
    #[test]
    fn no_case_is_skipped() {
        let sources = [
            include_str!("contract/ingest.rs"),
            include_str!("contract/change.rs"),
            include_str!("contract/redact.rs"),
            include_str!("contract/list.rs"),
            include_str!("contract/feed.rs"),
            include_str!("contract/export.rs"),
            include_str!("contract/invalidate.rs"),
            include_str!("contract/keep.rs"),
        ];
        let mut written: Vec<&str> = sources
            .iter()
            .flat_map(|source| source.lines())
            .filter_map(|line| line.strip_prefix("pub async fn "))
            .filter_map(|line| line.split('(').next())
            .collect();
        let mut listed = super::CASES.to_vec();
        written.sort_unstable();
        listed.sort_unstable();
        assert_eq!(written, listed);
    }
}
