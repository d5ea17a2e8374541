//! stub for now
use crate::report::Report;
use crate::run::Job;
use zoetrope::Result;
pub struct Plan;
pub fn show(_: &Job, _: bool) -> Result<()> {
    Ok(())
}
pub fn fits(job: &Job) -> Result<Plan> {
    job.pipeline.check_memory(&job.device, &job.settings.request)?;
    Ok(Plan)
}
pub fn warn_of_long_run(_: &Job, _: &Plan, _: &Report) -> Result<()> {
    Ok(())
}
