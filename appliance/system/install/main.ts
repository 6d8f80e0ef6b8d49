/**
 * The installer of the medium (images/initrd-install starts it, in the slot that it installs):
 *
 *     main.js MEDIUM DEVICE SEED TARGET
 *
 * folders of the medium and of the seed, the device that the medium is, and an empty folder. Ends with 0:
 * restart; 3: power off; anything else: it failed, and said why.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { version } from '../../api/version.js';
import { DeviceConsoles } from './consoles.js';
import { COLUMNS, parseDisks } from './disks.js';
import { runInstaller } from './installer.js';
import { readMedium } from './medium.js';
import { hasConfiguration, writeData } from './seed.js';
import { writeWeir } from './write.js';

const POWER_OFF = 3;

async function main(): Promise<number> {
  const [medium, device, seed, target] = process.argv.slice(2);
  if (medium === undefined || device === undefined || seed === undefined || target === undefined) {
    throw new Error('started without the folders that it needs');
  }
  const consoles = DeviceConsoles.ofKernel();
  const answers = join(seed, 'install.yaml');
  try {
    const ending = await runInstaller({
      consoles,
      version: version(),
      seed: {
        answers: existsSync(answers) ? readFileSync(answers, 'utf8') : null,
        configuration: hasConfiguration(seed),
      },
      disks: () => {
        const words = ['--json', '--bytes', '--output', COLUMNS];
        return parseDisks(execFileSync('lsblk', words, { encoding: 'utf8' }), device);
      },
      install: (disk, steps) => {
        consoles.say('  the medium is checked');
        const content = readMedium(medium);
        writeWeir(disk.path, disk.bytes, content, steps);
        writeData(disk.path, seed, target);
        execFileSync('sync');
      },
    });
    consoles.say(ending === 'restart' ? 'Restarting.' : 'Powering off.');
    return ending === 'restart' ? 0 : POWER_OFF;
  } catch (error) {
    consoles.say(
      `The installation failed: ${error instanceof Error ? error.message : String(error)}`,
    );
    return 1;
  }
}

// Reading a terminal has no end: the process would wait for it.
void main().then((status) => process.exit(status));
