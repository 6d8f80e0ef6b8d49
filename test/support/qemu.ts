/**
 * A machine of QEMU under software emulation, booted from an image and driven by its serial
 * consoles: the first is the box's own console, the second a shell of root that this test brings as a
 * unit of systemd by the firmware's tables (systemd.system-credentials(7)); the image knows
 * nothing of it.
 *
 * WEIR_SHOW_CONSOLE=1 writes the consoles to stderr as well, for whoever looks for what is wrong.
 *
 * Invariant: the image is never written to; what the box writes goes to `overlay`, if one is given, and
 * is lost otherwise.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';

export const OVMF = '/usr/share/OVMF';

export interface MachineOptions {
  readonly image: string;
  /** A raw file, or a server of NBD, that is the disk in place of the image, and is written to. */
  readonly disk?: string;
  /** What an installer is on; the firmware starts it where the disk is empty. */
  readonly medium?: { readonly file: string; readonly as: 'cd' | 'usb' };
  /** Empty folder for sockets and variables of UEFI. */
  readonly folder: string;
  readonly firmware: 'bios' | 'uefi';
  /** A qcow2 file over the image, made if missing: what the box writes stays for the next boot. */
  readonly overlay?: string;
  /** What a new overlay is over, a qcow2 file; left out: the image. */
  readonly over?: string;
  /** Names of tap devices, one interface of the box each: enp0s5, enp0s6, … */
  readonly taps: readonly string[];
  /** 0 to 255, of machines on one network: their link addresses differ by it. */
  readonly number?: number;
  /** A file system labelled WEIR-SEED. */
  readonly seed?: string;
  /** A file system labelled WEIR-UPDATE. */
  readonly update?: string;
  /** `none`: a box that is slow because this machine has other work is not reset for it. */
  readonly watchdog?: 'reset' | 'none';
  /** A reboot boots again; else QEMU ends. */
  readonly reboots?: boolean;
}

const SHELL = `[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/bash --norc --noediting
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
Environment=PS1= TERM=dumb
Restart=always
`;

function credential(name: string, content: string): string {
  const value = Buffer.from(content).toString('base64');
  return `type=11,value=io.systemd.credential.binary:${name}=${value}`;
}

function parameters(options: MachineOptions): string[] {
  const { folder, image, overlay, seed, taps } = options;
  const own = options.disk === undefined ? null : `file=${options.disk},format=raw`;
  const disk =
    own ??
    (overlay === undefined
      ? `file=${image},format=raw,snapshot=on`
      : `file=${overlay},format=qcow2`);
  const drive = (what: string, id: string, order: number): string[] => [
    ...['-drive', `${what},if=none,id=${id}`],
    ...['-device', `virtio-blk-pci,drive=${id},bootindex=${order},addr=0x${order + 1}`],
  ];
  // Off, or the driver refuses native XDP: firmware-profiles/virtio_net.json.
  const off = ['csum', 'tso4', 'tso6', 'ecn', 'ufo'].map((name) => `guest_${name}=off`).join(',');
  const octet = (options.number ?? 0).toString(16).padStart(2, '0');
  const mac = (index: number): string => `mac=52:54:00:77:${octet}:0${index}`;
  return [
    ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '1024'],
    ...['-display', 'none', '-monitor', 'none', '-nodefaults', '-no-user-config'],
    ...(options.reboots === true ? [] : ['-no-reboot']),
    ...['-serial', 'stdio', '-serial', `unix:${join(folder, 'shell')},server=on,wait=off`],
    ...['-device', 'i6300esb,addr=0x4', '-action', `watchdog=${options.watchdog ?? 'reset'}`],
    ...['-smbios', credential('systemd.extra-unit.test-shell.service', SHELL)],
    ...[
      '-smbios',
      credential('systemd.unit-dropin.sysinit.target~test', '[Unit]\nWants=test-shell.service\n'),
    ],
    ...drive(disk, 'disk', 1),
    ...(seed === undefined ? [] : drive(`file=${seed},format=raw,readonly=on`, 'seed', 2)),
    ...(options.medium === undefined ? [] : mediumParameters(options.medium)),
    ...(options.update === undefined
      ? []
      : [
          ...['-drive', `file=${options.update},format=raw,readonly=on,if=none,id=update`],
          ...['-device', 'virtio-blk-pci,drive=update,addr=0xa'],
        ]),
    ...taps.flatMap((tap, index) => [
      ...['-netdev', `tap,id=net${index},ifname=${tap},script=no,downscript=no,vhost=off`],
      ...['-device', `virtio-net-pci,netdev=net${index},addr=0x${index + 5},${off},${mac(index)}`],
    ]),
    ...(options.firmware === 'uefi' ? uefi(folder) : []),
  ];
}

function mediumParameters({ file, as }: NonNullable<MachineOptions['medium']>): string[] {
  const drive = `file=${file},format=raw,readonly=on,if=none,id=medium`;
  const device =
    as === 'cd'
      ? ['-device', 'ide-cd,drive=medium,bus=ide.0,bootindex=3']
      : ['-device', 'qemu-xhci,addr=0x9', '-device', 'usb-storage,drive=medium,bootindex=3'];
  return ['-drive', drive, ...device];
}

function uefi(folder: string): string[] {
  const variables = join(folder, 'variables.fd');
  if (!existsSync(variables)) copyFileSync(join(OVMF, 'OVMF_VARS_4M.fd'), variables);
  const flash = (unit: number, rest: string): string[] => [
    '-drive',
    `if=pflash,format=raw,unit=${unit},${rest}`,
  ];
  return [
    ...flash(0, `readonly=on,file=${join(OVMF, 'OVMF_CODE_4M.fd')}`),
    ...flash(1, `file=${variables}`),
  ];
}

export class Machine {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly startedAt = performance.now();
  readonly ended: Promise<void>;
  #console = '';
  #from = 0;
  #heard = new Set<() => void>();
  #watchers: ((chunk: Buffer) => void)[] = [];
  #over = false;

  constructor(options: MachineOptions) {
    this.#folder = options.folder;
    if (options.overlay !== undefined && !existsSync(options.overlay)) {
      const made = spawnSync('qemu-img', [
        ...['create', '-q', '-f', 'qcow2', '-F', options.over === undefined ? 'raw' : 'qcow2'],
        ...['-b', options.over ?? options.image, options.overlay, '8G'],
      ]);
      if (made.status !== 0) throw new Error(`qemu-img: ${made.stderr.toString()}`);
    }
    // It ends with this process, whatever ends that.
    const begin = ['--pdeathsig', 'KILL', '--', 'nice', '-n', '10', 'qemu-system-x86_64'];
    this.#process = spawn('setpriv', [...begin, ...parameters(options)], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const take = (chunk: Buffer): void => {
      this.#console += chunk.toString('latin1');
      if (process.env['WEIR_SHOW_CONSOLE'] === '1') process.stderr.write(chunk);
      for (const watcher of this.#watchers) watcher(chunk);
      this.#tell();
    };
    this.#process.stdout?.on('data', take);
    this.#process.stderr?.on('data', take);
    this.ended = new Promise((resolve) => {
      this.#process.once('close', () => {
        this.#over = true;
        this.#tell();
        resolve();
      });
    });
  }

  #tell(): void {
    for (const heard of this.#heard) heard();
  }

  /** What was said so far is no match any more. */
  forget(): void {
    this.#from = this.#console.length;
  }

  /** The first match on the console within `ms`; throws an Error with its last lines otherwise. */
  async says(pattern: RegExp, ms: number): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        this.#heard.delete(look);
        act();
      };
      const fail = (why: string): void => {
        const tail = this.#console.slice(-1500);
        settle(() => {
          reject(
            new Error(`${why}: ${String(pattern)} was not said. The console ends with:\n${tail}`),
          );
        });
      };
      const timer = setTimeout(() => {
        fail(`${ms / 1000} s`);
      }, ms);
      const look = (): void => {
        const found = pattern.exec(this.#console.slice(this.#from));
        if (found !== null) {
          settle(() => {
            resolve(found);
          });
        } else if (this.#over) fail('QEMU ended');
      };
      this.#heard.add(look);
      look();
    });
  }

  /** Hears the console from now on, as a terminal program on the other end of the line. */
  watch(watcher: (chunk: Buffer) => void): void {
    this.#watchers.push(watcher);
  }

  type(text: string): void {
    this.#process.stdin?.write(text);
  }

  /**
   * Runs words in a shell of the box: what they write, without the last newline. `hear` is given all of it so
   * far, each time that there is more.
   */
  async shell(words: string, ms = 300_000, hear?: (text: string) => void): Promise<string> {
    const socket = await this.#shellSocket();
    try {
      return await new Promise((resolve, reject) => {
        let text = '';
        const timer = setTimeout(() => {
          reject(new Error(`the shell said nothing more within ${ms / 1000} s: ${text}`));
        }, ms);
        socket.once('close', () => {
          clearTimeout(timer);
          reject(new Error(`the shell went away after: ${text}`));
        });
        socket.on('data', (chunk) => {
          text += chunk.toString('latin1').replaceAll('\r', '');
          const found = /BEGIN-ANSWER\n([^]*?)\n?END-ANSWER=(\d+)\n/.exec(text);
          if (found === null) {
            hear?.(text);
            return;
          }
          clearTimeout(timer);
          if (found[2] === '0') resolve(found[1] ?? '');
          else reject(new Error(`"${words}" ended with ${found[2]}: ${found[1]}`));
        });
        socket.write(`stty -echo; echo; echo BEGIN-'ANSWER'; ${words}\necho END-'ANSWER'=$?\n`);
      });
    } finally {
      socket.destroy();
    }
  }

  #shellSocket(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(join(this.#folder, 'shell'));
      socket.once('connect', () => {
        resolve(socket);
      });
      // Of one that is connected: QEMU was killed, and it closes.
      socket.on('error', reject);
    });
  }

  /** Cuts the power. */
  async cut(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.ended;
  }

  get console(): string {
    return this.#console;
  }
}
