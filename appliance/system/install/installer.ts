/**
 * The installer's talk: which disk, twice; or nobody is asked, by an answer file. What it cannot do it
 * says, and begins anew; an installation that asks nobody ends with the failure.
 */
import { type Answers, parseAnswers } from './answers.js';
import type { Consoles } from './consoles.js';
import { chooseDisk, type Disk, diskText, largeEnough, sizeText } from './disks.js';
import type { Progress } from './medium.js';

export interface InstallerParts {
  readonly consoles: Consoles;
  /** Of the Weir on the medium. */
  readonly version: string;
  /** Files of the volume WEIR-SEED; null: there is no such file. */
  readonly seed: { readonly answers: string | null; readonly configuration: boolean };
  readonly disks: () => Disk[];
  /** Writes and reads back, with what the seed has. Throws an Error. */
  readonly install: (disk: Disk, steps: { writing: Progress; checking: Progress }) => void;
}

export type Ending = 'restart' | 'power-off';

/** Resolves when a Weir is on a disk, or a person leaves. Rejects for an answer file that cannot be followed. */
export async function runInstaller(parts: InstallerParts): Promise<Ending> {
  const { consoles, seed } = parts;
  consoles.say('');
  consoles.say(`Weir ${parts.version}: installer`);
  if (seed.answers !== null) return unattended(parts, parseAnswers(seed.answers));
  if (seed.configuration) {
    consoles.say('The volume WEIR-SEED has a first configuration, which the box will take.');
  }
  for (;;) {
    const disk = await askedDisk(parts);
    if (disk === null) return 'power-off';
    try {
      write(parts, disk);
    } catch (error) {
      consoles.say(`It failed: ${error instanceof Error ? error.message : String(error)}`);
      continue;
    }
    await consoles.ask('Take the medium out, then press Enter: the box restarts.');
    return 'restart';
  }
}

function unattended(parts: InstallerParts, answers: Answers): Ending {
  const disk = chooseDisk(parts.disks(), answers.disk);
  if (disk.weir && !answers['overwrite-weir']) {
    throw new Error(
      `${diskText(disk)}: there is a Weir already. With "overwrite-weir: true" in install.yaml it is erased`,
    );
  }
  parts.consoles.say(`As install.yaml says: ${diskText(disk)} is erased`);
  write(parts, disk);
  return answers.then;
}

/** Null: the person wants none. */
async function askedDisk({ consoles, disks }: InstallerParts): Promise<Disk | null> {
  for (;;) {
    const found = disks();
    consoles.say('');
    consoles.say(found.length === 0 ? 'There is no disk.' : 'Disks:');
    found.forEach((disk, index) => {
      consoles.say(`  ${index + 1}  ${diskText(disk)}`);
    });
    const word = await consoles.ask(
      'Which one shall Weir be on? Its number, Enter to look again, q to power off:',
    );
    if (word === 'q') return null;
    if (word === '') continue;
    const disk = /^\d+$/.test(word) ? found[Number(word) - 1] : undefined;
    if (disk === undefined) {
      consoles.say(`There is no disk "${word}".`);
      continue;
    }
    if (!largeEnough(disk)) {
      consoles.say(`${disk.path} is too small.`);
      continue;
    }
    consoles.say(`Everything on ${diskText(disk)} will be erased.`);
    const again = await consoles.ask(`Type ${disk.name} to do that, anything else to go back:`);
    if (again === disk.name) return disk;
    consoles.say('Nothing was written.');
  }
}

function write({ consoles, install }: InstallerParts, disk: Disk): void {
  install(disk, { writing: told(consoles, 'writing'), checking: told(consoles, 'reading back') });
  consoles.say(`Weir is on ${disk.path}, and was read back from it.`);
}

/** A line for each fifth, for people at 9,600 baud. */
function told(consoles: Consoles, what: string): Progress {
  let before = -1;
  return (done, of) => {
    const fifth = Math.floor((done / of) * 5);
    if (fifth === before) return;
    before = fifth;
    consoles.say(`  ${what}: ${fifth * 20} % of ${sizeText(of)}`);
  };
}
