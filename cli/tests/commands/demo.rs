//! The demo, as it is shown to a newcomer.

use crate::Desk;

/// Takes ten seconds of real time: ten callbacks, a second apart, are what is promised.
#[tokio::test]
async fn ten_callbacks_arrive_in_about_ten_seconds() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let ran = desk.rondo(&["demo"]).await?;
    assert_eq!(ran.code, 0, "{ran:?}");
    let callbacks: Vec<&str> = ran.out.lines().filter(|line| line.contains("  callback ")).collect();
    assert_eq!(callbacks.len(), 10, "{}", ran.out);
    for (at, line) in callbacks.iter().enumerate() {
        assert!(line.contains(&format!("callback {:>2} ", at + 1)), "{line}");
        assert!(line.contains("ms late  signature verified"), "{line}");
    }
    assert!(ran.out.contains("status          FINISHED"), "{}", ran.out);
    assert!(ran.out.contains("all 10 callbacks arrived, each once and in order"), "{}", ran.out);
    assert!(!desk.path("profiles.json").exists(), "the demo leaves nothing behind");
    Ok(())
}
