//! What contract suites share: one test for each case, and one that counts them.

/// Makes a test of each case of a suite. The suite is a module with the cases and their number, `CASES`; `$open` is an
/// async function that returns a fresh subject; where `$enabled` is false, the cases are skipped.
#[macro_export]
macro_rules! contract_cases {
    ([$($suite:tt)+], $open:path, $enabled:expr; $($case:ident),+ $(,)?) => {
        use $($suite)+ as suite_of_cases;

        $(
            #[tokio::test]
            async fn $case() {
                if $enabled {
                    suite_of_cases::$case(&$open().await).await;
                }
            }
        )+

        #[test]
        fn p10_every_case_runs() {
            assert_eq!([$(stringify!($case)),+].len(), suite_of_cases::CASES);
        }
    };
}
