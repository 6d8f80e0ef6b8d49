/** Who is not meant: keys that no unit knows, and one that sits in the middle. */
import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket, type SecureContext } from 'node:tls';
import { dial } from '../../appliance/ha/pair/dial.js';
import { needIdentity, type Identity } from '../../appliance/ha/pair/identity.js';
import { PairStore } from '../../appliance/ha/pair/store.js';
import { MachineKey } from '../../appliance/tls/machine-key.js';
import { PairUnit } from './two-units.js';

/** The key of the unit whose folder it is, made if there is none. */
export async function identityIn(folder: string): Promise<Identity> {
  const store = PairStore.open(folder);
  try {
    return await needIdentity(store, MachineKey.open(folder, true), 'another');
  } finally {
    store.close();
  }
}

/** The listening end of TLS, as a unit has it. */
export function serve(raw: Socket, secureContext: SecureContext): TLSSocket {
  const socket = new TLSSocket(raw, {
    isServer: true,
    secureContext,
    requestCert: true,
    rejectUnauthorized: false,
  });
  return socket.on('error', () => undefined);
}

type End = readonly [address: string, port: number];

/** Ends TLS on both sides with a key of its own and passes on what it reads. */
export class Middle {
  readonly #unit = new PairUnit('middle', 0);
  #server: Server | null = null;
  /** Octets, in both directions. */
  passed = 0;

  async open([address, port]: End, [target, targetPort]: End): Promise<void> {
    const identity = await identityIn(this.#unit.folder);
    const server = createServer((raw) => {
      const near = serve(raw, identity.context);
      near.once('secure', () => {
        void dial(target, targetPort, identity.context).then((far) => {
          far.on('error', () => undefined);
          near.on('data', (bytes: Buffer) => {
            this.passed += bytes.length;
            far.write(bytes);
          });
          far.on('data', (bytes: Buffer) => {
            this.passed += bytes.length;
            near.write(bytes);
          });
          near.on('close', () => far.destroy());
          far.on('close', () => near.destroy());
        });
      });
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(port, address, resolve));
  }

  close(): void {
    this.#server?.close();
    this.#unit.close();
  }
}
