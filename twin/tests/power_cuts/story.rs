//! A story: lives of one device from a given start to a goal, told once undisturbed and then with every cut.

use crate::life::{End, Habits, Running, live};
use crate::service::Service;
use cotter_chip::board::VirtualChip;
use cotter_chip::fault::{CutPoint, Fault, Phase};
use cotter_formats::addr::SECTOR;
use cotter_formats::efuse::esp32c3::SECURE_VERSION;
use cotter_formats::otadata::OtaState;
use cotter_wire::content::CHUNK;
use cotter_wire::status::Outcome;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, iter, thread};

/// What happens to whom, and how it must end.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) board: VirtualChip,
    pub(crate) service: Service,
    pub(crate) habits: Habits,
    pub(crate) goal: Goal,
    /// How many cuts during the recovery are tried for each first cut.
    pub(crate) second_cuts: usize,
    /// In how many ways each operation is torn.
    pub(crate) tears: usize,
}

/// How a story must end.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// The device does what it always does.
    Quiet { version: &'static str },
    /// The new version runs and is confirmed, the server knows, the eFuses bar what is older.
    Installed { version: &'static str },
    /// The old version runs, and the server knows that the new one was given up.
    RolledBack { given_up: &'static str, reason: &'static str, to: &'static str },
}

/// A moment between two lives of the undisturbed story.
struct Checkpoint {
    board: VirtualChip,
    service: Service,
    /// The operations of the life that follows, counted from here.
    operations: u64,
    /// Those of them that write image data.
    image_data: Vec<Range<u64>>,
    /// Whether one of them burns eFuses.
    burns: bool,
    /// How many lives came before.
    lives: usize,
}

/// One told story.
struct Course {
    /// From the start of the story on.
    lives: usize,
    /// Operations since the last cut.
    operations: u64,
}

impl Goal {
    fn is_reached(self, running: &Running, service: &Service) -> bool {
        let reported = |version: &str, outcome| {
            let version = version.parse().unwrap();
            service.reports.iter().any(|report| report.version == version && report.outcome == outcome)
        };
        match self {
            Self::Quiet { version } => running.version == version,
            Self::Installed { version } => running.version == version && reported(version, Outcome::Installed),
            Self::RolledBack { given_up, to, .. } => running.version == to && reported(given_up, Outcome::RolledBack),
        }
    }

    /// What the server was told is what happened.
    fn check_reports(self, service: &Service) {
        for report in &service.reports {
            let is_true = match self {
                Self::Quiet { .. } => false,
                Self::Installed { .. } => report.outcome == Outcome::Installed,
                // Once it is given up, it is refused whenever it is offered again.
                Self::RolledBack { reason, .. } => match report.outcome {
                    Outcome::RolledBack => report.reason() == reason,
                    Outcome::Failed => report.reason() == "known-bad-release",
                    Outcome::Installed => false,
                },
            };
            assert!(is_true, "{report:?}");
        }
    }
}

impl Story {
    /// Tells the story undisturbed, then with a cut before, in the middle of and after each operation, then with a
    /// second cut at random operations of each recovery.
    pub(crate) fn sweep(&self) {
        let started = Instant::now();
        let seed = seed();
        let (checkpoints, _) = self.undisturbed();
        let lives = checkpoints.len();
        let mut cuts: Vec<(&Checkpoint, CutPoint)> = Vec::new();
        for checkpoint in &checkpoints {
            for (op, phase) in (0..checkpoint.operations).flat_map(|op| Phase::ALL.map(|phase| (op, phase))) {
                let ways = if phase == Phase::Torn { self.tears } else { 1 };
                cuts.extend(iter::repeat_n((checkpoint, CutPoint { op, phase }), ways));
            }
        }
        assert!(!cuts.is_empty(), "{}: nothing to cut", self.name);
        let longest = AtomicUsize::new(0);
        in_parallel(&cuts, |number, (checkpoint, cut)| {
            let mut random = Random::of(seed, number);
            // One seed for all its tellings: then the first cut tears alike, and its recovery has the same operations.
            let tears = random.next();
            let course = self.told(checkpoint, &[*cut], tears, lives);
            longest.fetch_max(course.lives, Ordering::Relaxed);
            for _ in 0..self.second_cuts {
                let second = CutPoint { op: random.below(course.operations), phase: random.phase() };
                let course = self.told(checkpoint, &[*cut, second], tears, lives);
                longest.fetch_max(course.lives, Ordering::Relaxed);
            }
        });
        let operations: u64 = checkpoints.iter().map(|life| life.operations).sum();
        let image_data = checkpoints.iter().flat_map(|life| &life.image_data).map(|range| range.end - range.start);
        println!(
            "{}: {operations} operations ({} of image data, {} of eFuses) in {lives} lives; before, torn ({} ways), \
             after: {} power cuts, and {} pairs of cuts; at most {} lives; seed {seed}; {:.1} s",
            self.name,
            image_data.sum::<u64>(),
            checkpoints.iter().filter(|life| life.burns).count(),
            self.tears,
            cuts.len(),
            cuts.len() * self.second_cuts,
            longest.into_inner(),
            started.elapsed().as_secs_f32(),
        );
    }

    /// The same story with its first lives already lived.
    pub(crate) fn after_lives(mut self, lives: usize) -> Self {
        let Checkpoint { board, service, .. } = self.undisturbed().0.swap_remove(lives);
        (self.board, self.service) = (board, service);
        self
    }

    /// The device after the end of the story.
    pub(crate) fn ended(mut self) -> Self {
        (self.board, self.service) = self.undisturbed().1;
        self
    }

    /// The story as it goes when nothing happens: where it is before each life, and at the end.
    fn undisturbed(&self) -> (Vec<Checkpoint>, (VirtualChip, Service)) {
        let board = self.board.duplicate().unwrap();
        let mut service = self.service.clone();
        let mut checkpoints = Vec::new();
        let mut settled = false;
        for lives in 0..MOST_LIVES {
            let before = (board.duplicate().unwrap(), service.clone());
            board.fault().restart_count();
            let mut image_data = Vec::new();
            let end = live(&board, &mut service, self.habits, &mut image_data);
            let operations = board.fault().operations();
            let (was, is) = (before.0.efuses().image().unwrap(), board.efuses().image().unwrap());
            let burns = was.value(&SECURE_VERSION) != is.value(&SECURE_VERSION);
            checkpoints.push(Checkpoint { board: before.0, service: before.1, operations, image_data, burns, lives });
            match end {
                End::PowerLost => panic!("{}: power lost without a cut", self.name),
                End::Asleep(running) if self.goal.is_reached(&running, &service) => {
                    if settled {
                        self.check_end(&running, &service);
                        return (checkpoints, (board, service));
                    }
                    settled = true;
                }
                End::Asleep(_) | End::Reboot => {}
            }
        }
        panic!("{}: no end", self.name);
    }

    /// The story from a checkpoint on, with cuts: the first counts operations from the checkpoint, the second from the
    /// first. `undisturbed`: how many lives the story has without them.
    fn told(&self, from: &Checkpoint, cuts: &[CutPoint], tears: u64, undisturbed: usize) -> Course {
        let case = Case { story: self.name, lives: from.lives, cuts, tears };
        let board = from.board.duplicate_on(Fault::new(tears)).unwrap();
        let mut service = from.service.clone();
        let mut planned = cuts.iter();
        planned.by_ref().take(1).for_each(|cut| board.fault().cut_at(*cut));
        let (mut lives, mut happened, mut settled) = (from.lives, 0, false);
        loop {
            lives += 1;
            assert!(lives <= undisturbed + LIVES_PER_CUT * cuts.len(), "does not come to its end");
            match live(&board, &mut service, self.habits, &mut Vec::new()) {
                End::PowerLost => {
                    happened += 1;
                    settled = false;
                    board.fault().restart_count();
                    planned.by_ref().take(1).for_each(|cut| board.fault().cut_at(*cut));
                }
                End::Asleep(running) if self.goal.is_reached(&running, &service) => {
                    // One more life, in which the second stage burns what was confirmed.
                    if settled {
                        self.check_end(&running, &service);
                        break;
                    }
                    settled = true;
                }
                End::Asleep(_) | End::Reboot => {}
            }
        }
        assert_eq!(happened, case.cuts.len(), "every planned cut happens");
        self.check_downloads(&service, happened);
        Course { lives, operations: board.fault().operations() }
    }

    fn check_end(&self, running: &Running, service: &Service) {
        assert_eq!(running.state, Some(OtaState::VALID));
        assert_eq!(running.fuses, running.secure_version, "the eFuses bar what is older than what is confirmed");
        self.goal.check_reports(service);
    }

    /// A download resumes at the sector in which it stopped.
    fn check_downloads(&self, service: &Service, cuts: usize) {
        let Some(offer) = &service.offer else { return };
        let (all, lost) = (offer.content.len().div_ceil(CHUNK), cuts * SECTOR as usize / CHUNK);
        assert!(service.chunks <= all + lost, "{} chunks of {all} in spite of {cuts} cuts", service.chunks);
    }
}

/// More lives than any story takes if nothing happens.
const MOST_LIVES: usize = 20;

/// How many lives more a story may take for each cut: the one that was cut, then back to the old version, and the
/// trial of the new one again.
const LIVES_PER_CUT: usize = 3;

/// Says which case it was when an assertion fails in it.
struct Case<'a> {
    story: &'static str,
    lives: usize,
    cuts: &'a [CutPoint],
    tears: u64,
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { story, lives, cuts, tears } = self;
            println!("{story}: after {lives} lives {cuts:?}, tears {tears:#x}");
        }
    }
}

/// `COTTER_SEED`, or always the same.
fn seed() -> u64 {
    env::var("COTTER_SEED").ok().map_or(20_261_121, |seed| seed.parse().expect("COTTER_SEED is a number"))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    const fn of(seed: u64, number: usize) -> Self {
        Self(seed ^ (number as u64) << 32)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    const fn phase(&mut self) -> Phase {
        match self.below(3) {
            0 => Phase::Before,
            1 => Phase::Torn,
            _ => Phase::After,
        }
    }
}

/// Works through all jobs with every core that there is.
fn in_parallel<T: Sync>(jobs: &[T], work: impl Fn(usize, &T) + Sync) {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { break };
                    work(number, job);
                }
            });
        }
    });
}
