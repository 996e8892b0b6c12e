//! What a power cut at any instant can leave: some of the writes that no sync covered, in any order,
//! some of them torn (threats.md G2), and a second cut while the first is being mended (G3).

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    Files, Handle, Place,
    disk::{Step, apply},
};
use crate::{
    database::Rows,
    fixture::lives::{self, Dice, STEPS, scale},
};

/// Images of a healthy disk; `BASCULE_TEST_SCALE` multiplies it.
const IMAGES: u32 = 10_000;
const LIVES: u32 = 2;
/// One in so many is also opened the way the daemon does, from a real file.
const FROM_A_FILE: u32 = 100;

/// Any of the pending writes, some of them torn; now and then the first ones, whole and in order.
fn image(durable: &[u8], pending: &[Step], dice: &mut Dice) -> Vec<u8> {
    let mut content = durable.to_vec();
    if dice.throw(4) == 0 {
        let kept = dice.throw(pending.len() as u64 + 1) as usize;
        pending[..kept]
            .iter()
            .for_each(|step| apply(&mut content, step));
        return content;
    }
    for step in pending {
        match (dice.throw(3), step) {
            (0, _) => {}
            (1, Step::Write(offset, data)) if data.len() > 512 => {
                let sectors = data.len() / 512;
                let kept = 512 * (1 + dice.throw(sectors as u64) as usize).min(sectors);
                apply(&mut content, &Step::Write(*offset, data[..kept].to_vec()));
            }
            (_, step) => apply(&mut content, step),
        }
    }
    content
}

/// Goes along the recorded steps and stops after each: what is durable, what is not, and how many
/// changes were acknowledged. A disk that lies about syncs never makes anything durable.
fn cut(start: &[u8], steps: &[Step], lying: bool, mut at: impl FnMut(&[u8], &[Step], u32)) {
    let mut durable = start.to_vec();
    let mut pending = Vec::new();
    let mut acknowledged = 0;
    for step in steps {
        match step {
            Step::Sync if lying => {}
            Step::Sync => pending
                .drain(..)
                .for_each(|step| apply(&mut durable, &step)),
            Step::Acknowledged => acknowledged += 1,
            Step::Write(..) | Step::Len(_) => pending.push(step.clone()),
        }
        at(&durable, &pending, acknowledged);
    }
}

/// A recorded run of steps, and every key file that there was at any time: those that an image needs
/// are among them, and others are left alone.
struct Recorded {
    place: Place,
    start: Vec<u8>,
    steps: Vec<Step>,
    keys: Vec<Files>,
}

impl Recorded {
    fn new() -> Self {
        let place = Place::new();
        let disk = Handle::new(place.start.clone());
        let store = place.on(&disk).unwrap();
        disk.get().steps.clear();
        let start = disk.get().content.clone();
        let mut keys = Vec::new();
        for done in 0..LIVES * STEPS {
            lives::step(&store, done).unwrap();
            disk.step(Step::Acknowledged).unwrap();
            keys.push(place.key_files());
        }
        let steps = disk.get().steps.clone();
        drop(store);
        let recorded = Self {
            place,
            start,
            steps,
            keys,
        };
        recorded.put_keys_back();
        recorded
    }

    fn put_keys_back(&self) {
        self.keys.iter().for_each(Files::put_back);
    }

    /// How many steps an image holds; `None` when it can't be opened or holds anything else.
    fn found(&self, content: Vec<u8>) -> Option<u32> {
        let open = || {
            let rows = Rows::checked(Handle::new(content)).ok()?;
            let store = self.place.with(rows).ok()?;
            Some(lives::done(&store))
        };
        catch_unwind(AssertUnwindSafe(open)).ok().flatten()
    }

    fn found_in_a_file(&self, content: &[u8]) -> u32 {
        let found = lives::done(&self.place.restart(content));
        self.put_keys_back();
        found
    }

    /// Cuts the power after every step and counts the images, those that lost something that was
    /// acknowledged, and those that can't be opened.
    fn cut_everywhere(&self, images: u32, lying: bool) -> (u32, u32, u32) {
        let for_each_cut = images.div_ceil(self.steps.len() as u32);
        let mut dice = Dice(0x5EED);
        let (mut images, mut lost, mut unopenable) = (0, 0, 0);
        cut(
            &self.start,
            &self.steps,
            lying,
            |durable, pending, acknowledged| {
                for _ in 0..for_each_cut {
                    images += 1;
                    let content = image(durable, pending, &mut dice);
                    if !lying && images % FROM_A_FILE == 0 {
                        let found = self.found_in_a_file(&content);
                        assert!(found == acknowledged || found == acknowledged + 1);
                    }
                    match self.found(content) {
                        None => unopenable += 1,
                        Some(found) if found == acknowledged || found == acknowledged + 1 => {}
                        Some(_) => lost += 1,
                    }
                }
            },
        );
        (images, lost, unopenable)
    }
}

#[test]
fn g2_a_power_cut_at_any_write_loses_nothing_acknowledged() {
    let (images, lost, unopenable) = Recorded::new().cut_everywhere(IMAGES * scale(), false);
    println!("{images} images: {lost} lost, {unopenable} can't be opened");
    assert!(images >= IMAGES);
    assert_eq!((lost, unopenable), (0, 0), "of {images} images");
}

#[test]
fn g2_a_disk_that_lies_about_syncs_is_caught_by_the_same_test() {
    let (images, lost, unopenable) = Recorded::new().cut_everywhere(200, true);
    println!("{images} images: {lost} lost, {unopenable} can't be opened");
    assert!(lost > 0 && unopenable > 0, "of {images} images");
}

#[test]
fn g3_a_second_cut_while_the_first_is_mended_rolls_nothing_back() {
    let recorded = Recorded::new();
    let mut dice = Dice(0x2EED);
    let (mut recoveries, mut images) = (0, 0);
    let mut number = 0;
    cut(
        &recorded.start,
        &recorded.steps,
        false,
        |durable, pending, acknowledged| {
            number += 1;
            // Every seventh, which is no multiple of anything that a commit does.
            if number % 7 != 0 {
                return;
            }
            let crashed = image(durable, pending, &mut dice);
            let disk = Handle::new(crashed.clone());
            let store = recorded.place.on(&disk).unwrap();
            let mended = lives::done(&store);
            let steps = disk.get().steps.clone();
            drop(store);
            recoveries += u32::from(!steps.is_empty());
            cut(&crashed, &steps, false, |durable, pending, _| {
                images += 1;
                let found = recorded.found(image(durable, pending, &mut dice));
                let found = found.expect("what was cut off twice opens");
                assert!(
                    found >= acknowledged && found <= acknowledged + 1,
                    "{acknowledged} acknowledged, {found} after the second cut"
                );
                // What a mended store has told may be known outside.
                if pending.is_empty() {
                    assert_eq!(found, mended);
                }
            });
        },
    );
    println!("{recoveries} recoveries, cut off {images} times");
    assert!(recoveries > 10 && images > 50, "{recoveries} {images}");
}
