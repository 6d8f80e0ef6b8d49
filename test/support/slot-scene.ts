/**
 * A unit with files as slots, and what its boot loader does: the decisions of images/grub.cfg, over the
 * same environment block.
 */
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeBundle } from '../../images/bundle.js';
import { readChoice, type Slot, writeChoice } from '../../appliance/system/slots/environment.js';
import { Keeper, type KeeperOptions } from '../../appliance/system/slots/keeper.js';
import { SlotFiles } from '../../appliance/system/slots/slot-files.js';

export const ROOM = 3_000_000;
export const COMMIT = 'c0ffee'.padEnd(40, '0');

export class SlotScene {
  readonly root = mkdtempSync(join(tmpdir(), 'weir-slots-'));
  readonly slots = join(this.root, 'slots');
  readonly state = join(this.root, 'state');
  readonly keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject } =
    generateKeyPairSync('ed25519');
  #boots = 1;

  constructor() {
    mkdirSync(join(this.slots, 'esp/grub'), { recursive: true });
    mkdirSync(this.state);
    const text = '# GRUB Environment Block\ndefault_slot=a\ntry_slot=\ntries=0\n';
    writeFileSync(this.environment, text.padEnd(1024, '#'));
    for (const slot of ['a', 'b']) writeFileSync(this.slot(slot), Buffer.alloc(ROOM, slot));
    writeFileSync(join(this.slots, 'running'), 'a\n');
    writeFileSync(this.publicKeys, this.keys.publicKey.export({ type: 'spki', format: 'pem' }));
  }

  get environment(): string {
    return join(this.slots, 'esp/grub/grubenv');
  }

  get publicKeys(): string {
    return join(this.root, 'update-keys.pem');
  }

  slot(name: string): string {
    return join(this.slots, `slot-${name}`);
  }

  get running(): Slot {
    return new SlotFiles(this.slots).running;
  }

  /** Writes a bundle and says what its slot holds. */
  async bundle(
    options: {
      readonly version?: string;
      readonly minimumVersion?: string;
      readonly size?: number;
      readonly key?: KeyObject;
    } = {},
  ): Promise<{ readonly path: string; readonly content: Buffer }> {
    const { version = '0.2.0', minimumVersion = '0.1.0', size = 2_500_000 } = options;
    const content = randomBytes(size);
    const slot = join(this.root, 'slot.squashfs');
    const path = join(this.root, `weir-${version}.update`);
    writeFileSync(slot, content);
    const key = options.key ?? this.keys.privateKey;
    await makeBundle({ slot, out: path, version, commit: COMMIT, minimumVersion, key });
    return { path, content };
  }

  keeper(options: Partial<KeeperOptions> = {}): Keeper {
    return new Keeper({
      files: new SlotFiles(this.slots),
      stateDir: this.state,
      journal: join(this.state, 'upgrade.json'),
      version: '0.1.0',
      boot: String(this.#boots),
      keys: () => [this.keys.publicKey],
      now: Date.now,
      ...options,
    });
  }

  /** As grub.cfg does: which slot is booted now. */
  boot(): Slot {
    this.#boots += 1;
    const { good, trial, tries } = readChoice(this.environment);
    let slot = good;
    if (trial !== null && tries > 0) {
      writeChoice(this.environment, { good, trial, tries: tries - 1 });
      slot = trial;
    }
    writeFileSync(join(this.slots, 'running'), slot);
    return slot;
  }

  content(slot: Slot, length: number): Buffer {
    return readFileSync(this.slot(slot)).subarray(0, length);
  }

  close(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Runs with a scene and removes it, however that ends. */
export async function withSlots(run: (scene: SlotScene) => Promise<void> | void): Promise<void> {
  const scene = new SlotScene();
  try {
    await run(scene);
  } finally {
    scene.close();
  }
}
