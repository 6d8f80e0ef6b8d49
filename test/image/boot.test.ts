/**
 * The image boots: with BIOS and a first configuration from a seed, again after its power was
 * cut, and with UEFI. Needs root, QEMU and an image (`npm run image`); under software emulation it
 * takes minutes, so no time here is a requirement: what was measured is printed.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import type { Machine, MachineOptions } from '../support/qemu.js';
import { inNamespace } from './namespace.js';
import { ask, isAnswered, makeNetwork, makeSeed, READY, SERVICES, since, Stage } from './stage.js';

const BOOT_MS = 420_000;

const test = suite('the image');
const image = needs.image(test);
let seed = '';
const stage = new Stage(test, 'image', makeNetwork, () => {
  seed = makeSeed(stage.folder('seed'));
});

const boot = (firmware: MachineOptions['firmware'], overlay: string): Machine =>
  stage.start({ firmware, seed, overlay: stage.file(overlay) });

const seconds = (machine: Machine): string => `${since(machine.startedAt)} after power-on`;

async function serves(machine: Machine): Promise<void> {
  await isAnswered(SERVICES.proxied, BOOT_MS);
  console.log(`  the proxy answers ${seconds(machine)}`);
  await isAnswered(SERVICES.fast, BOOT_MS);
  console.log(`  the fast path answers ${seconds(machine)}`);
}

async function facts(machine: Machine): Promise<void> {
  const text = await machine.shell(
    [
      'echo kernel $(uname -r)',
      'echo btf $(test -r /sys/kernel/btf/vmlinux && echo yes)',
      'echo uring $(cat /proc/sys/kernel/io_uring_disabled)',
      'echo ktls $(test -d /sys/module/tls && echo yes)',
      'echo xdp $(ip -o link show | grep -c "xdp/id\\|xdp ")',
      'echo root $(grep -c " / squashfs ro" /proc/mounts)',
      'echo failed $(systemctl --failed --no-legend | wc -l)',
      'systemctl --failed --no-legend',
      'weir show tiers',
    ].join('; '),
  );
  console.log(text.replace(/^/gm, '  '));
  assert.match(text, /^btf yes$/m);
  assert.match(text, /^uring 0$/m);
  assert.match(text, /^ktls yes$/m);
  assert.match(text, /^root 1$/m);
  assert.match(text, /^failed 0$/m);
  assert.match(text, /xdp on enp0s5\n +Mode +native/);
}

image(
  'boots with BIOS, takes its seed, serves, and serves again after its power was cut',
  async () => {
    const first = boot('bios', 'bios.qcow2');
    const [, after] = await first.says(READY, BOOT_MS);
    console.log(`  ready ${seconds(first)}, ${after} s after the kernel (BIOS, first boot)`);
    await serves(first);
    await facts(first);
    // The shell's answer tells that the revision is there; nothing asked for it to be written out.
    assert.match(await first.shell('weir history'), /from WEIR-SEED/);
    await first.cut();

    const second = boot('bios', 'bios.qcow2');
    await second.says(READY, BOOT_MS);
    console.log(`  ready ${seconds(second)} (BIOS, after a power cut)`);
    await serves(second);
    const size = await second.shell('df -m --output=size /data | tail -n 1');
    assert.ok(Number(size) > 6000, `the data partition has grown to its disk: ${size} MiB`);
    for (let asked = 0; asked < 20; asked++) await ask(SERVICES.proxied);
  },
);

image('boots with UEFI', async () => {
  const machine = boot('uefi', 'uefi.qcow2');
  await machine.says(READY, BOOT_MS);
  console.log(`  ready ${seconds(machine)} (UEFI, first boot)`);
  await serves(machine);
});

inNamespace(import.meta.url, () => {
  test.run();
});
