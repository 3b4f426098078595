//! Work for all cores at once.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Works through all jobs with every core that there is; results come in the order of the jobs.
///
/// # Errors
/// The error of the first job that failed, in their order.
pub(super) fn on_all<T: Send, R: Send, E: Send>(
    jobs: Vec<T>,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    if cores < 2 {
        return jobs.into_iter().map(work).collect();
    }
    let queue = Mutex::new(jobs.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((number, job)) = next() {
                    let result = work(job);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::on_all;

    #[test]
    fn results_keep_the_order_and_the_first_error_wins() {
        assert_eq!(on_all((0..100).collect(), Ok::<_, u32>), Ok((0..100).collect::<Vec<u32>>()));
        let odd = |number: u32| if number.is_multiple_of(2) { Ok(number) } else { Err(number) };
        assert_eq!(on_all((0..100).collect(), odd), Err(1));
        assert_eq!(on_all(Vec::new(), odd), Ok(Vec::new()));
    }
}
