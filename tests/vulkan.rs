//! What a GPU has to do beside its ops: order, memory, weights, faults. Runs on every GPU of this machine, on software
//! drivers too, and tells nothing where there is none.

mod checkpoints;
mod gpu;
mod traffic;

use std::fs;
use std::path::PathBuf;

use checkpoints::{Copy, fixture, poison};
use traffic::Traffic;
use zoetrope::internals::multiply_add;
use zoetrope::internals::tuning::{Class, Tuning};
use zoetrope::ops::{self, Activation, Arithmetic, Conv3dParams, KeyValue, OutputType};
use zoetrope::video::NullSink;
use zoetrope::weights::{Mapping, Weight};
use zoetrope::{
    Cancel, Device, DeviceFault, DeviceOptions, Error, Pipeline, Precision, Progress, Prompt, Request, Steps, Tensor,
};

fn filled(device: &Device, len: usize, value: f32) -> Tensor {
    Tensor::from_slice(device, [len], &vec![value; len]).unwrap()
}

fn all(tensor: &Tensor, value: f32) -> bool {
    tensor.values().unwrap().iter().all(|&found| found == value)
}

#[test]
fn a_buffer_that_is_reused_before_a_flush_keeps_the_order() {
    for device in gpu::devices() {
        const LEN: usize = 100_000;
        let x = filled(device, LEN, 1.0);
        let hits = device.pool_stats().hits;
        // Read by a command that is not submitted yet, then given back and taken for other numbers.
        let sum = ops::add(x.clone(), &x).unwrap();
        drop(x);
        let other = filled(device, LEN, 5.0);
        assert!(device.pool_stats().hits > hits, "the buffer is used again");
        let product = ops::mul(other.clone(), &sum).unwrap();
        drop(other);
        let last = Tensor::zeros(device, [LEN]).unwrap();
        assert!(all(&sum, 2.0) && all(&product, 10.0) && all(&last, 0.0), "{device:?}");
    }
}

#[test]
fn more_commands_than_a_submission_holds_come_in_order() {
    for device in gpu::devices() {
        let one = filled(device, 1000, 1.0);
        let mut sum = Tensor::zeros(device, [1000]).unwrap();
        for _ in 0..700 {
            sum = ops::add(sum, &one).unwrap();
        }
        assert!(all(&sum, 700.0), "{device:?}");
    }
}

#[test]
fn clones_are_not_written_to_and_parts_are_where_they_were() {
    for device in gpu::devices() {
        let values: Vec<f32> = (0..35).map(|i| i as f32).collect();
        let x = Tensor::from_slice(device, [5, 7], &values).unwrap();
        let rows = x.narrow(2..4).unwrap();
        let doubled = ops::add(rows.clone(), &rows).unwrap();
        let want: Vec<f32> = values[14..28].iter().map(|value| 2.0 * value).collect();
        assert_eq!((x.to_vec().unwrap(), doubled.to_vec().unwrap()), (values, want));
    }
}

#[test]
fn what_is_not_finite_is_found() {
    for device in gpu::devices() {
        let mut values = vec![1.0; 70_000];
        assert!(Tensor::from_slice(device, [values.len()], &values).unwrap().is_finite().unwrap());
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            values[69_999] = odd;
            let x = Tensor::from_slice(device, [values.len()], &values).unwrap();
            assert!(!x.is_finite().unwrap(), "{odd}");
            assert!(x.narrow(0..69_999).unwrap().is_finite().unwrap());
        }
    }
}

#[test]
fn tensors_of_two_devices_are_an_error() {
    let cpu = Device::cpu().unwrap();
    for device in gpu::devices() {
        let index = Device::gpus().unwrap()[0].index;
        let second = Device::vulkan(index, DeviceOptions::default()).unwrap();
        let w = Weight::from_f32("w", [4, 4], vec![1.0; 16]);
        for (a, b) in [(device, &cpu), (&cpu, device), (device, &second)] {
            let (x, y) = (filled(a, 4, 1.0), filled(b, 4, 1.0));
            for outcome in [
                ops::add(x.clone(), &y),
                ops::modulate(x.clone(), &x, &y),
                ops::linear(&x, &w, Some(&y), Activation::None, OutputType::F32),
                ops::rms_norm(&x, &y, 1e-6, OutputType::F32),
            ] {
                assert!(matches!(outcome, Err(Error::Device { fault: DeviceFault::Elsewhere, .. })));
            }
        }
        // A weight goes where it is asked for, and back.
        for place in [device, &second, device, &cpu] {
            let out = ops::linear(&filled(place, 4, 1.0), &w, None, Activation::None, OutputType::F32).unwrap();
            assert!(all(&out, 4.0));
        }
    }
}

#[test]
fn weights_are_evicted_for_others_within_the_budget() {
    for index in 0..gpu::devices().len() {
        let options = DeviceOptions { memory_budget: Some(1 << 20), ..DeviceOptions::default() };
        let device = Device::vulkan(index, options).unwrap();
        let weight = |n: usize| Weight::from_f32("w", [n, 256], vec![0.5; n * 256]);
        let x = Tensor::from_slice(&device, [1, 256], &[1.0; 256]).unwrap();
        let forward = |w: &Weight| ops::linear(&x, w, None, Activation::None, OutputType::F32);
        let first = weight(600);
        assert!(all(&forward(&first).unwrap(), 128.0));
        let second = weight(600);
        for weight in [&second, &first, &first, &second] {
            assert!(all(&forward(weight).unwrap(), 128.0));
        }
        assert!(matches!(forward(&weight(1100)), Err(Error::OutOfMemory { budget: Some(1_048_576), .. })));
        let half = Tensor::zeros(&device, [1 << 17]).unwrap();
        assert!(matches!(forward(&second), Err(Error::OutOfMemory { .. })), "a tensor is not evicted");
        drop(half);
        assert!(all(&forward(&second).unwrap(), 128.0));
        assert_eq!(device.pool_stats().live, 1024, "weights are not tensors");
    }
}

/// A pipeline of a fixture, and two steps of a small video.
fn small_video(frames: usize) -> (Pipeline, Request) {
    let pipeline = Pipeline::open(fixture("a"), Mapping::Map).unwrap();
    let prompts = (Prompt::Tokens(vec![2, 3, 4, 1]), Prompt::Tokens(vec![1]));
    let request = Request {
        width: 64,
        height: 48,
        frames,
        steps: Steps::Schedule { schedule: Default::default(), steps: 2, shift: None },
        ..Request::new(prompts.0, prompts.1)
    };
    (pipeline, request)
}

#[test]
fn a_plan_is_within_a_twentieth_of_what_the_pool_takes() {
    let (pipeline, request) = small_video(5);
    let both = |index| [Precision::Full, Precision::Half].map(|precision| (index, precision));
    for (index, precision) in (0..gpu::devices().len()).flat_map(both) {
        let device = Device::vulkan(index, DeviceOptions { precision, ..Default::default() }).unwrap();
        let planned = pipeline.plan(&device, &request).unwrap().tensors();
        pipeline.generate(&device, &request, &mut NullSink, &mut |_| {}).unwrap();
        let taken = device.pool_stats().high_water;
        assert!(planned.abs_diff(taken) * 20 <= planned, "{planned} bytes planned, {taken} taken: {device}");
    }
}

#[test]
fn half_precision_ends_near_full_in_less_memory() {
    let (pipeline, request) = small_video(5);
    for (full, half) in gpu::devices().iter().zip(gpu::at_half()) {
        let [near, again] = [&half, &half].map(|device| pipeline.sample(device, &request, &mut |_| {}).unwrap());
        assert!(near.values().unwrap() == again.values().unwrap(), "the same bits");
        let exact = pipeline.sample(full, &request, &mut |_| {}).unwrap();
        let apart = apart(&near.values().unwrap(), &exact.values().unwrap());
        assert!(0.0 < apart && apart < 0.02, "{apart} apart on {half}");
        let least = |device| pipeline.plan(device, &request).unwrap().tensors();
        assert!(least(&half) < least(full), "{} and {} bytes", least(&half), least(full));
    }
}

#[test]
fn hidden_values_beyond_f16_pass_the_text_encoder_at_half_precision() {
    let checkpoint = Copy::of("a");
    // Both halves of the gated hidden layer grow by as much: their product is some millions.
    poison(&checkpoint, "text_encoder", "encoder.block.0.layer.1.layer_norm.weight", 3, 1e4);
    let pipeline = Pipeline::open(&checkpoint.0, Mapping::Map).unwrap();
    let prompt = Prompt::Tokens(vec![5, 9, 1]);
    for (full, half) in gpu::devices().iter().zip(gpu::at_half()) {
        let text = |device| pipeline.encode(device, &[&prompt], &mut |_| {}).unwrap()[0].to_vec().unwrap();
        let apart = apart(&text(&half), &text(full));
        assert!(0.0 < apart && apart < 0.01, "{apart} apart on {half}");
    }
}

/// Lavapipe shows a shader 128 MiB of a buffer, the least that Vulkan promises; other drivers take it at once.
#[test]
fn operands_that_no_shader_sees_whole_are_taken_in_parts() {
    const WIDE: usize = 1 << 13;
    let cpu = Device::cpu().unwrap();
    let few = |len: usize| -> Vec<f32> { (0..len).map(|i| ((i * 37 % 64) as f32 - 31.5) / 64.0).collect() };
    for device in gpu::devices() {
        let both = |op: &dyn Fn(&Device) -> Tensor| [device, &cpu].map(|device| op(device).to_vec().unwrap());
        // A weight of 136 MB, of an odd number of rows.
        let rows = (17 << 8) + 1;
        let w = Weight::from_f32("w", [rows, WIDE], few(rows * WIDE));
        let [got, want] = both(&|device| {
            let x = Tensor::from_slice(device, [5, WIDE], &few(5 * WIDE)).unwrap();
            let bias = Tensor::from_slice(device, [rows], &few(rows)).unwrap();
            ops::linear(&x, &w, Some(&bias), Activation::None, OutputType::F32).unwrap()
        });
        assert!(apart(&got, &want) < 1e-6, "linear: {} on {device}", apart(&got, &want));
        drop(w);
        // A frame of 67 MB and a tail of two more, which the first frames of the result see; one sees zeros too.
        let [height, width, c] = [1030, 1020, 16];
        let x = few(2 * height * width * c);
        let w = Weight::from_f32("w", [2, c, 3, 3, 3], few(2 * c * 27));
        let params = Conv3dParams { stride: [1, 4, 4], pad_front: 1, pad: [1, 2, 1, 2] };
        let [got, want] = both(&|device| {
            let video = |frames, output| {
                Tensor::from_slice_as(device, [frames, height, width, c], &x[..frames * height * width * c], output)
                    .unwrap()
            };
            let bias = Tensor::from_slice(device, [2], &[0.5, -2.0]).unwrap();
            ops::conv3d(&video(2, OutputType::Operand), Some(&video(1, OutputType::F32)), &w, Some(&bias), params)
                .unwrap()
        });
        assert!(apart(&got, &want) < 1e-6, "conv3d: {} on {device}", apart(&got, &want));
        // Keys and values of 136 MB each. Not more of them: lavapipe leaves a shader's loops after 65,535 turns in all.
        let (keys, heads, head_dim) = (11_600, 23, 128);
        // Rounding has no direction then.
        let kv = zoetrope::rng::randn(1, keys * heads * head_dim);
        let [got, want] = both(&|device| {
            let key = Tensor::from_slice(device, [keys, heads * head_dim], &kv).unwrap();
            let bias = ops::AttentionBias::PerKey(Tensor::from_slice(device, [keys - 1], &few(keys - 1)).unwrap());
            // Not around zero, where long sums would cancel.
            let value: Vec<f32> = kv.iter().map(|x| x + 1.0).collect();
            let value = Tensor::from_slice(device, [keys, heads * head_dim], &value).unwrap();
            let kv = KeyValue { key, value, bias, length: keys - 1 };
            let q = Tensor::from_slice(device, [4, heads * head_dim], &few(4 * heads * head_dim)).unwrap();
            ops::attention(&q, &[kv.clone(), kv], heads, 0.1, OutputType::F32).unwrap()
        });
        assert!(apart(&got, &want) < 1e-6, "attention: {} on {device}", apart(&got, &want));
    }
}

#[test]
fn a_block_moves_little_more_than_it_must() {
    // Devices of their own: others run for other tests.
    for (index, half) in gpu::at_half().iter().enumerate() {
        let full = Device::vulkan(index, DeviceOptions::default()).unwrap();
        let [full, half] = [&full, half].map(|device| Traffic::of_a_block(device, 2, 16).unwrap().ratio());
        assert!(half < 1.6 && full < 2.0 * half, "{half} and {full} times the least");
    }
}

/// The length of the difference in lengths of `exact`.
fn apart(near: &[f32], exact: &[f32]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    length(&mut near.iter().zip(exact).map(|(a, b)| a - b)) / length(&mut exact.iter().copied())
}

#[test]
fn half_precision_is_for_gpus_and_its_tensors_for_products() {
    let options = DeviceOptions { precision: Precision::Half, ..Default::default() };
    let Err(error) = Device::cpu_with(options) else { panic!("a processor at half precision") };
    assert!(matches!(error, Error::Request { what: "precision", .. }), "{error}");
    for device in gpu::at_half() {
        let x = Tensor::from_slice_as(&device, [2, 2], &[1.0, 2.0, 3.0, 4.0], OutputType::Operand).unwrap();
        let Err(error) = ops::add(x.clone(), &x) else { panic!("a sum of operands") };
        assert!(matches!(error, Error::Shape { .. }), "{error}");
        assert!(x.clone().reshape([4, 1]).is_err(), "rows that end within a word");
        // Rounded to what is too large for F16, a number is not finite.
        let x = Tensor::from_slice_as(&device, [1, 2], &[1.0, 1e6], OutputType::Operand).unwrap();
        assert!(!x.is_finite().unwrap());
    }
}

#[test]
fn a_model_that_does_not_fit_is_streamed_and_gives_the_same_bits() {
    let (pipeline, request) = small_video(1);
    for (index, device) in gpu::devices().iter().enumerate() {
        let plan = pipeline.plan(device, &request).unwrap();
        let [text, transformer, _] = &plan.stages[..] else { panic!("three stages") };
        let budget = text.least_memory().max(transformer.tensors + transformer.weights / 3);
        assert!(budget >= transformer.tensors + transformer.weights_at_once, "{transformer:?}");
        assert!(budget < transformer.tensors + transformer.weights, "{budget}: {transformer:?}");
        let small = Device::vulkan(index, DeviceOptions { memory_budget: Some(budget), ..Default::default() }).unwrap();
        let [streamed, whole] = [&small, device].map(|device| pipeline.sample(device, &request, &mut |_| {}).unwrap());
        assert!(streamed.values().unwrap() == whole.values().unwrap(), "{device}");
        assert!(small.pool_stats().high_water <= budget);
    }
}

#[test]
fn a_cancelled_device_says_so() {
    for index in 0..gpu::devices().len() {
        let device = Device::vulkan(index, DeviceOptions::default()).unwrap();
        let x = filled(&device, 64, 1.0);
        device.cancel().cancel();
        assert!(matches!(ops::add(x.clone(), &x), Err(Error::Cancelled)));
        // Only the handle is spent: another one goes on with the same device, its tensors and weights.
        let again = device.with_cancel(Cancel::default());
        let x = x.to_device(&again).unwrap();
        assert!(all(&ops::add(x.clone(), &x).unwrap(), 2.0));
        let w = Weight::from_f32("w", [4, 64], vec![1.0; 256]);
        let product = ops::linear(&x, &w, None, Activation::None, OutputType::F32).unwrap();
        assert!(
            all(&product, 64.0)
                && matches!(
                    device.timed(|| ops::add(filled(&device, 1, 1.0), &filled(&device, 1, 1.0)).map(drop)),
                    Err(Error::Cancelled)
                )
        );
    }
}

#[test]
fn a_cancelled_job_leaves_another_on_its_device_alone() {
    let (pipeline, request) = small_video(1);
    for index in 0..gpu::devices().len() {
        let device = Device::vulkan(index, DeviceOptions::default()).unwrap();
        let alone = pipeline.sample(&device, &request, &mut |_| {}).unwrap();
        let [one, other] = [(); 2].map(|()| device.with_cancel(Cancel::default()));
        let (kept, cancelled) = std::thread::scope(|scope| {
            let kept = scope.spawn(|| pipeline.sample(&one, &request, &mut |_| {}));
            let cancelled = scope.spawn(|| {
                pipeline.sample(&other, &request, &mut |progress| {
                    if let Progress::Step { done: 1, .. } = progress {
                        other.cancel().cancel();
                    }
                })
            });
            (kept.join().unwrap(), cancelled.join().unwrap())
        });
        assert!(matches!(cancelled, Err(Error::Cancelled)));
        assert!(kept.unwrap().values().unwrap() == alone.values().unwrap(), "{device}");
    }
}

#[test]
fn a_weight_outlives_its_device_and_is_copied_to_the_next() {
    let w = Weight::from_f32("w", [4, 4], vec![1.0; 16]);
    for index in 0..gpu::devices().len() {
        for _ in 0..2 {
            let device = Device::vulkan(index, DeviceOptions::default()).unwrap();
            let x = filled(&device, 4, 1.0);
            let product = ops::linear(&x, &w, None, Activation::None, OutputType::F32).unwrap();
            assert!(all(&product, 4.0));
        }
    }
}

/// A folder that is removed when it goes out of scope.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("zoetrope-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Results are the same, but for what a compiler does to sums; what is kept for a device is what it is opened with.
#[test]
fn other_tile_sizes_give_the_same_results_and_are_kept() {
    let numbers = |len: usize| (0..len).map(|i| (i * 7919 % 251) as f32 / 125.5 - 1.0).collect::<Vec<_>>();
    let results = |device: &Device| {
        let tensor = |shape: &[usize]| Tensor::from_slice(device, shape, &numbers(shape.iter().product())).unwrap();
        let weight = |shape: &[usize]| Weight::from_f32("w", shape, numbers(shape.iter().product()));
        let linear =
            ops::linear(&tensor(&[37, 70]), &weight(&[75, 70]), None, Activation::None, OutputType::F32).unwrap();
        let params = Conv3dParams { stride: [1; 3], pad_front: 2, pad: [1; 4] };
        let conv = ops::conv3d(&tensor(&[2, 9, 7, 20]), None, &weight(&[50, 20, 3, 3, 3]), None, params).unwrap();
        let kv = [KeyValue::new(tensor(&[45, 96]), tensor(&[45, 96]))];
        let attention = ops::attention(&tensor(&[41, 96]), &kv, 2, 0.2, OutputType::F32).unwrap();
        [linear, conv, attention].map(|tensor| tensor.to_vec().unwrap())
    };
    for index in 0..gpu::devices().len() {
        let folder = Folder::new("tiles");
        let opened = |tuning| {
            let pipeline_cache = Some(folder.0.clone());
            Device::vulkan(index, DeviceOptions { tuning, pipeline_cache, ..DeviceOptions::default() }).unwrap()
        };
        let usual = results(&opened(None));
        let classes = [Class::linear(37, 75), Class::conv3d(126, 50), Class::attention(48)];
        for last in [1, 3, 5] {
            let pick = |class: Class| class.tile_sizes()[class.tile_sizes().len() - last];
            let tuning = classes.iter().fold(Tuning::default(), |tuning, class| tuning.with(*class, pick(*class)));
            let device = opened(Some(tuning.clone()));
            for (found, usual) in results(&device).iter().zip(&usual) {
                let size = usual.iter().fold(0f32, |most, x| most.max(x.abs()));
                let off = found.iter().zip(usual).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
                assert!(found.len() == usual.len() && off <= 1e-6 * size, "{off} of {size}: {tuning:?}");
            }
            device.save_tuning(&folder.0, &tuning).unwrap();
            let Device::Vulkan(again) = opened(None) else { panic!("a GPU") };
            assert_eq!(*again.tuning(), tuning);
        }
    }
    assert!(Device::cpu().unwrap().save_tuning(&std::env::temp_dir(), &Tuning::default()).is_err());
}

#[test]
fn a_pipeline_cache_is_kept_and_a_damaged_or_foreign_one_ignored() {
    for index in 0..gpu::devices().len() {
        let folder = Folder::new("pipelines");
        let run = || {
            let pipeline_cache = Some(folder.0.clone());
            let device = Device::vulkan(index, DeviceOptions { pipeline_cache, ..DeviceOptions::default() }).unwrap();
            let x = filled(&device, 8, 1.0);
            assert!(all(&ops::add(x.clone(), &x).unwrap(), 2.0));
        };
        run();
        let files = folder.files();
        let [file] = &files[..] else {
            let Device::Vulkan(vulkan) = &gpu::devices()[index] else { unreachable!() };
            let driver = &vulkan.info().driver;
            assert!(files.is_empty() && driver.contains("Mesa 26"), "{driver} has nothing to keep");
            continue;
        };
        let whole = fs::read(file).unwrap();
        assert!(whole.starts_with(b"zoetrope pipelines 1\n") && whole.len() >= 21 + 32 + 32);
        for damage in [&whole[..30], &whole[..whole.len() - 1], b"", &[&whole[..60], &[0; 40][..]].concat()] {
            fs::write(file, damage).unwrap();
            run();
            assert_eq!(folder.files(), std::slice::from_ref(file));
            assert!(fs::read(file).unwrap().len() >= whole.len() / 2, "it is written anew");
        }
    }
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_with_a_remedy() {
    let error = Device::vulkan(99, DeviceOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error}");
}

#[test]
fn a_gpu_tells_by_its_own_clock_how_long_it_worked() {
    for device in gpu::devices() {
        let x = filled(device, 1 << 20, 1.0);
        let start = std::time::Instant::now();
        let took = |times: usize| {
            let work = || (0..times).try_for_each(|_| ops::add(x.clone(), &x).map(drop));
            device.timed(work).unwrap()
        };
        // Clocks are not promised; software drivers have one as well.
        let (Some(few), Some(many)) = (took(2), took(200)) else { continue };
        assert!(few > 0.0 && many > 2.0 * few, "{device:?}: {few} s, {many} s");
        assert!(few + many <= start.elapsed().as_secs_f64(), "{device:?}");
    }
}

#[test]
fn registers_are_multiplied_as_often_as_is_said() {
    let all = [Arithmetic::F32, Arithmetic::F16, Arithmetic::CooperativeMatrix];
    for (device, of) in gpu::at_half().iter().flat_map(|device| all.map(|of| (device, of))) {
        let Device::Vulkan(vulkan) = device else { unreachable!() };
        let before = device.work().linear;
        let Some(once) = multiply_add(device, of, 1).unwrap() else {
            let lacks = if of == Arithmetic::F16 { !vulkan.info().f16 } else { vulkan.matrices().is_none() };
            assert!(of != Arithmetic::F32 && lacks, "{of:?} on {device}");
            continue;
        };
        assert_eq!(multiply_add(device, of, 3).unwrap(), Some(3 * once));
        device.wait().unwrap();
        assert_eq!(device.work().linear - before, 4 * once);
    }
    assert_eq!(multiply_add(&Device::cpu().unwrap(), Arithmetic::F16, 1).unwrap(), None);
}
