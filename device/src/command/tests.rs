//! Commands against a server's sealing, hostile order, and power cuts at every operation of the flash.

extern crate std;
use super::*;
use crate::test_store::{TestStore, mount, root_key};
use cotter_chip::fault::{CutPoint, Fault, Phase};
use cotter_chip::flash::{Flash, FlashError};
use cotter_formats::addr::FlashAddr;
use cotter_formats::nvs::value::Value as NvsValue;
use cotter_wire::command::{MAX_COMMAND, UnverifiedResult, Value, seal};
use cotter_wire::ids::{DeviceId, KeyEpoch, UnixTime};
use std::println;
use std::vec::Vec;

const NOW: AuthenticatedTime = AuthenticatedTime::of(1_000);

/// As the server seals it.
fn sealed(device: &str, epoch: u32, counter: u32, expires: u64) -> Vec<u8> {
    let (device, epoch): (DeviceId, _) = (device.parse().unwrap(), KeyEpoch(epoch));
    let keys = DeviceKeys::derive(&root_key(), &device, epoch);
    let mut command = Command::new("open-valve".parse().unwrap());
    command.push("percent".parse().unwrap(), Value::Integer(40)).unwrap();
    let to = Address { device: &device, epoch, counter: CommandCounter(counter) };
    let mut out = [0; MAX_COMMAND];
    seal(&keys.command, &to, [3; 12], UnixTime(expires), &command, &mut out).unwrap().to_vec()
}

fn own(counter: u32) -> Vec<u8> {
    sealed("esp32-001", 3, counter, 2_000)
}

fn execute(received: Received) -> Begun {
    match received {
        Received::Execute(begun) => begun,
        Received::Report(result) => panic!("not executed: {result:?}"),
    }
}

type Refusal = ReceiveError<FlashError>;

#[test]
fn a_command_is_executed_once_and_its_result_told_as_often_as_asked() {
    let mut store = TestStore::factory().mount();
    let identity = Identity::load(&mut store).unwrap();
    let mut commands = Commands::new(&identity);
    assert_eq!(commands.latest(&mut store).unwrap(), None);
    let begun = execute(commands.receive(&own(7), NOW, &mut store).unwrap());
    assert_eq!(begun.command().value("percent"), Some(&Value::Integer(40)));
    let busy: Result<_, Refusal> = commands.receive(&own(8), NOW, &mut store);
    assert_eq!(busy, Err(ReceiveError::Busy { counter: CommandCounter(7) }));
    let done = commands.finish(&begun, Outcome::Done, "40 %", &mut store).unwrap();

    for _ in 0..3 {
        assert_eq!(commands.receive(&own(7), NOW, &mut store).unwrap(), Received::Report(done.clone()));
    }
    assert_eq!(Commands::new(&identity).latest(&mut store).unwrap(), Some(done.clone()), "after a boot");
    let mut out = [0; MAX_RESULT];
    let body = commands.report(&done, &mut out);
    let from = Address { device: &identity.device, epoch: identity.epoch, counter: CommandCounter(7) };
    let verified = UnverifiedResult::parse(body).unwrap().verify(&identity.keys().command_result, &from);
    assert_eq!(verified, Ok(done));
}

#[test]
fn refuses_replayed_reordered_and_foreign_commands() {
    let mut store = TestStore::factory().mount();
    let identity = Identity::load(&mut store).unwrap();
    let mut commands = Commands::new(&identity);
    let begun = execute(commands.receive(&own(8), NOW, &mut store).unwrap());
    commands.finish(&begun, Outcome::Done, "", &mut store).unwrap();
    let mut refused = |body: &[u8]| commands.receive(body, NOW, &mut store).unwrap_err();
    let replayed = Refusal::Replayed { counter: CommandCounter(7), latest: CommandCounter(8) };
    assert_eq!(refused(&own(7)), replayed, "delivered out of order");
    let foreign = Refusal::Command(CommandError::NotAuthentic);
    assert_eq!(refused(&sealed("esp32-002", 3, 9, 2_000)), foreign, "another device's");
    let epoch = CommandError::OtherEpoch { own: KeyEpoch(3), got: KeyEpoch(2) };
    assert_eq!(refused(&sealed("esp32-001", 2, 9, 2_000)), Refusal::Command(epoch), "another epoch's");
    let renumbered = std::string::String::from_utf8(own(8)).unwrap().replace("\"counter\":8", "\"counter\":9");
    assert_eq!(refused(renumbered.as_bytes()), foreign, "an old one under a new number");
    let _still_taken = execute(commands.receive(&own(9), NOW, &mut store).unwrap());
}

#[test]
fn an_expired_command_is_never_executed() {
    let mut store = TestStore::factory().mount();
    let identity = Identity::load(&mut store).unwrap();
    let mut commands = Commands::new(&identity);
    let expired = CommandResult::new(CommandCounter(7), Outcome::Expired, "");
    let late = sealed("esp32-001", 3, 7, 1_000);
    assert_eq!(commands.receive(&late, NOW, &mut store).unwrap(), Received::Report(expired.clone()));
    // Not even if the same number comes with a longer life, or the clock were earlier.
    let renewed = sealed("esp32-001", 3, 7, 9_000);
    let earlier = AuthenticatedTime::of(1);
    assert_eq!(commands.receive(&renewed, earlier, &mut store).unwrap(), Received::Report(expired));
    let _next = execute(commands.receive(&sealed("esp32-001", 3, 8, 1_001), NOW, &mut store).unwrap());
}

#[test]
fn without_a_readable_record_no_command_is_taken() {
    let mut store = TestStore::factory().set(RECORD, NvsValue::Blob(Vec::from([0, 0, 1]).into())).mount();
    let identity = Identity::load(&mut store).unwrap();
    let refused = Commands::new(&identity).receive(&own(7), NOW, &mut store).unwrap_err();
    assert_eq!(refused, ReceiveError::Record);
}

/// One boot: mount, fetch what the server still has, execute, finish. Counts what was really done.
fn boot(flash: &Flash, executed: &mut u32) -> Result<CommandResult, ()> {
    let mut store = Nvs::mount(
        crate::platform::Region::new(flash.clone(), FlashAddr(0), crate::test_store::NVS_LEN).map_err(drop)?,
        Some(crate::test_store::nvs_keys()),
    )
    .map_err(drop)?;
    let identity = Identity::load(&mut store).map_err(drop)?;
    let mut commands = Commands::new(&identity);
    match commands.receive(&own(7), NOW, &mut store).map_err(drop)? {
        Received::Report(result) => Ok(result),
        Received::Execute(begun) => {
            *executed += 1;
            commands.finish(&begun, Outcome::Done, "", &mut store).map_err(drop)
        }
    }
}

#[test]
fn a_power_cut_at_every_operation_executes_at_most_once_and_ends_in_one_result() {
    let content = TestStore::factory().build();
    let whole = Flash::with_content(content.clone(), Fault::default()).unwrap();
    assert_eq!(boot(&whole, &mut 0).map(|result| result.outcome), Ok(Outcome::Done));
    let (mut cuts, mut done, mut interrupted) = (0, 0, 0);
    for op in 0..whole.fault().operations() {
        for phase in Phase::ALL {
            let fault = Fault::new(op);
            fault.cut_at(CutPoint { op, phase });
            let flash = Flash::with_content(content.clone(), fault).unwrap();
            let mut executed = 0;
            assert!(boot(&flash, &mut executed).is_err(), "the power went");
            flash.fault().restore_power();
            let first = boot(&flash, &mut executed).expect("the power stays");
            assert_eq!(boot(&flash, &mut executed), Ok(first.clone()), "asked again, it says the same");
            match first.outcome {
                Outcome::Done => {
                    done += 1;
                    assert_eq!(executed, 1);
                }
                Outcome::Interrupted => {
                    interrupted += 1;
                    assert!(executed <= 1);
                }
                other => panic!("{other:?}"),
            }
            cuts += 1;
        }
    }
    println!("commands: {cuts} power cuts, {done} done once, {interrupted} interrupted");
    assert!(done > 0 && interrupted > 0);
    let _ = mount(whole, FlashAddr(0));
}
