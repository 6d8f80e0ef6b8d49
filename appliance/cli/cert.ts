/**
 * `cert`: certificates in the unit's store: looked at, imported, made, requested, exported, removed.
 *
 * Invariant: keys come from files and go to files (cert-files.ts), and are in no option, since the
 * list of processes shows those.
 */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { CertificateDetail, CertificateResult, CertificateRow } from '../api/contract.js';
import { examples } from './arguments.js';
import { addCertExport } from './cert-export.js';
import { certificatePath } from './cert-path.js';
import { readOctets, readPassphrase } from './cert-files.js';
import { detailText, listText } from './cert-text.js';
import { answer, clientOf, wantsJson, type Context } from './context.js';
import { clean, timestamp } from './format.js';

const DAY_MS = 86_400_000;
/** Longer than an order at an authority may take. */
const ORDER_MS = 600_000;
const KEYS = ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'];

export function addCertCommands(program: Command, context: Context): void {
  const cert = program
    .command('cert')
    .helpCommand(false)
    .summary('certificates and their keys')
    .description(
      "Looks after the certificates in the unit's store. Private keys are encrypted there with a key\n" +
        'of this machine, and are in no document, history, log or event.',
    )
    .addHelpText(
      'after',
      examples(
        ['weir cert list', 'which there are, and when they expire'],
        ['weir cert import shop.example shop.pem shop.key', 'with its chain and key'],
        ['weir cert csr shop.example --names shop.example', 'a request for an authority'],
        ['weir cert self-signed lab --names lab.example', 'for tests'],
      ),
    );
  addLooks(cert, context);
  addImport(cert, context);
  addRequest(cert, context);
  addSelfSigned(cert, context);
  addAuthority(cert, context);
  addRenew(cert, context);
  addCertExport(cert, context);
  addRemove(cert, context);
}

function addLooks(cert: Command, context: Context): void {
  cert
    .command('list')
    .summary('which there are, and when they expire')
    .description('Lists certificates, authorities and requests that wait for their certificate.')
    .addHelpText('after', examples(['weir cert list', 'with the services that use them']))
    .action(async (_options: object, command: Command) => {
      const rows = await clientOf(command, context).json<CertificateRow[]>({
        path: '/v1/certificates',
      });
      await answer(command, context, rows, () => listText(context, rows));
    });

  cert
    .command('show')
    .summary('one certificate, its chain, and its waiting request')
    .description('Shows a certificate: names, validity, key, fingerprint, chain, and who uses it.')
    .argument('<certificate>', 'its name in the store')
    .addHelpText('after', examples(['weir cert show shop.example', 'all of it but the key']))
    .action(async (name: string, _options: object, command: Command) => {
      const detail = await clientOf(command, context).json<CertificateDetail>({
        path: certificatePath(name),
      });
      await answer(command, context, detail, () => detailText(context, detail));
    });
}

interface ImportOptions {
  readonly passphraseFile?: string;
  readonly replace?: boolean;
  readonly authority?: boolean;
}

function addImport(cert: Command, context: Context): void {
  cert
    .command('import')
    .summary('import a certificate with its chain and key')
    .description(
      'Imports PEM (one file or several: certificate, chain in any order, key) or PKCS#12. The key may\n' +
        'be left out when that of a request (weir cert csr) or of the present certificate fits. With\n' +
        '--replace services go on with the new one, and no connection ends.',
    )
    .argument('<certificate>', 'its name in the store')
    .argument('<file...>', "files to read, '-' for stdin")
    .option('--passphrase-file <file>', "the first line of this file, '-' for stdin, opens the key")
    .option('--replace', 'in the place of the one that is there')
    .option(
      '--authority',
      'the certificate of an authority; without its key it only says who is trusted',
    )
    .addHelpText(
      'after',
      examples(
        ['weir cert import shop.example fullchain.pem privkey.pem', 'PEM'],
        ['weir cert import shop.example shop.p12 --passphrase-file pass', 'PKCS#12'],
        ['weir cert import shop.example new.pem --replace', 'renewed, with the same key'],
      ),
    )
    .action(
      async (name: string, files: readonly string[], options: ImportOptions, command: Command) => {
        const octets = await readOctets(files);
        try {
          const passphrase = await readPassphrase(options.passphraseFile);
          const result = await clientOf(command, context).json<CertificateResult>({
            method: 'PUT',
            path: certificatePath(name),
            query: {
              replace: options.replace === true ? 'true' : undefined,
              authority: options.authority === true ? 'true' : undefined,
            },
            octets,
            ...(passphrase === undefined ? {} : { passphrase }),
          });
          await answerChange(command, context, result, 'Imported');
        } finally {
          octets.fill(0);
        }
      },
    );
}

interface MakeOptions {
  readonly names?: readonly string[];
  readonly key: string;
  readonly subject?: string;
  readonly lifetime: number;
  readonly ca?: string;
  readonly clientAuth?: boolean;
  readonly replace?: boolean;
}

function addRequest(cert: Command, context: Context): void {
  withKey(
    cert
      .command('csr')
      .summary('make a key and a request for a certificate')
      .description(
        'Makes a key and prints a request (PKCS#10) to send to an authority. The key waits in the store\n' +
          'for the certificate that comes back; one of the same name that is in use stays until then.',
      )
      .argument('<certificate>', 'its name in the store')
      .option('--names <names>', 'host names and addresses, with commas', listOf)
      .option('--client-auth', 'also for use as a client'),
  )
    .option('--replace', 'in the place of the request that waits')
    .addHelpText(
      'after',
      examples(
        ['weir cert csr shop.example --names shop.example,www.shop.example > shop.csr', 'ask'],
        ['weir cert import shop.example answer.pem', 'and take the answer'],
      ),
    )
    .action(async (name: string, options: MakeOptions, command: Command) => {
      const detail = await clientOf(command, context).json<CertificateDetail>({
        method: 'POST',
        path: `${certificatePath(name)}/request`,
        json: {
          names: options.names ?? [],
          key: options.key,
          subject: options.subject,
          'client-auth': options.clientAuth,
          replace: options.replace,
        },
      });
      if (wantsJson(command)) await answer(command, context, detail, () => '');
      else context.out(detail.request ?? '');
    });
}

function addSelfSigned(cert: Command, context: Context): void {
  withKey(
    cert
      .command('self-signed')
      .summary('make a certificate here')
      .description(
        'Makes a certificate that is signed by its own key, or with --ca by an authority in the store.\n' +
          'The unit does not renew it: declare it in the section certificates for that.',
      )
      .argument('<certificate>', 'its name in the store')
      .requiredOption('--names <names>', 'host names and addresses, with commas', listOf)
      .option('--ca <certificate>', 'sign by this authority')
      .addOption(lifetime(90))
      .option('--client-auth', 'also for use as a client'),
  )
    .option('--replace', 'in the place of the one that is there')
    .addHelpText(
      'after',
      examples(
        ['weir cert self-signed lab --names lab.example,10.0.0.80', 'for tests'],
        ['weir cert self-signed lab --names lab.example --ca own', 'signed by your own authority'],
      ),
    )
    .action(async (name: string, options: MakeOptions, command: Command) => {
      const result = await clientOf(command, context).json<CertificateResult>({
        method: 'POST',
        path: `${certificatePath(name)}/self-signed`,
        json: {
          names: options.names,
          key: options.key,
          'lifetime-ms': options.lifetime,
          ca: options.ca,
          subject: options.subject,
          'client-auth': options.clientAuth,
          replace: options.replace,
        },
      });
      await answerChange(command, context, result, 'Made');
    });
}

function lifetime(most: number): Option {
  return new Option('--lifetime <time>', 'how long it is valid')
    .argParser(days)
    .default(most * DAY_MS, `${most}d`);
}

function addAuthority(cert: Command, context: Context): void {
  withKey(
    cert
      .command('ca')
      .summary('make an authority of your own')
      .description(
        'Makes the certificate and key of an authority. Give its certificate (weir cert export) to the\n' +
          'clients that shall trust what it signs (weir cert self-signed --ca).',
      )
      .argument('<certificate>', 'its name in the store')
      .addOption(lifetime(3650)),
  )
    .option('--replace', 'in the place of the one that is there')
    .addHelpText(
      'after',
      examples(
        ['weir cert ca own --subject "CN=Shop authority, O=Shop"', 'make it'],
        ['weir cert export own > own-ca.pem', 'for the clients'],
      ),
    )
    .action(async (name: string, options: MakeOptions, command: Command) => {
      const result = await clientOf(command, context).json<CertificateResult>({
        method: 'POST',
        path: `${certificatePath(name)}/authority`,
        json: {
          key: options.key,
          'lifetime-ms': options.lifetime,
          subject: options.subject,
          replace: options.replace,
        },
      });
      await answerChange(command, context, result, 'Made the authority');
    });
}

function addRenew(cert: Command, context: Context): void {
  cert
    .command('renew')
    .summary('obtain a declared certificate anew, now')
    .description(
      'Obtains a certificate that the section certificates declares as acme or self-signed at once, and\n' +
        'waits for it: by ACME up to some minutes. Until it is there the present one serves, and no\n' +
        'connection ends. By itself the unit renews after two thirds of the lifetime at the latest.',
    )
    .argument('<certificate>', 'its name in the store')
    .addHelpText('after', examples(['weir cert renew shop.example', 'after its names lead here']))
    .action(async (name: string, _options: object, command: Command) => {
      const detail = await clientOf(command, context, ORDER_MS).json<CertificateDetail>({
        method: 'POST',
        path: `${certificatePath(name)}/renew`,
      });
      await answer(
        command,
        context,
        detail,
        () => `Renewed ${clean(name)}, valid to ${timestamp(detail.notAfter)}.\n`,
      );
    });
}

function addRemove(cert: Command, context: Context): void {
  cert
    .command('remove')
    .summary('remove a certificate and its key')
    .description(
      'Removes a certificate and its key, for good. One that a service uses, or that the document\n' +
        'declares, is refused.',
    )
    .argument('<certificate>', 'its name in the store')
    .option('--request', 'only the request that waits, with its key')
    .addHelpText('after', examples(['weir cert remove old.example', 'for good']))
    .action(async (name: string, options: { readonly request?: boolean }, command: Command) => {
      const rows = await clientOf(command, context).json<CertificateRow[]>({
        method: 'DELETE',
        path: certificatePath(name),
        query: { request: options.request === true ? 'true' : undefined },
      });
      await answer(command, context, rows, () => `Removed ${clean(name)}.\n`);
    });
}

async function answerChange(
  command: Command,
  context: Context,
  result: CertificateResult,
  done: string,
): Promise<void> {
  const { name, names, notAfter } = result.certificate;
  const whom = names.length === 0 ? '' : ` for ${names.join(', ')}`;
  await answer(
    command,
    context,
    result,
    () => `${done} ${clean(name)}${clean(whom)}, valid to ${timestamp(notAfter)}.\n`,
  );
  for (const warning of result.warnings) context.err(`warning: ${clean(warning)}\n`);
}

function withKey(command: Command): Command {
  return command
    .addOption(new Option('--key <kind>', 'kind of key').choices(KEYS).default('ecdsa-p256'))
    .option('--subject <subject>', 'such as "CN=shop.example, O=Shop" (default: the first name)');
}

function listOf(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.every((name) => name !== '')) return names;
  throw new InvalidArgumentError('Give names with commas between, such as shop.example,10.0.0.80.');
}

function days(text: string): number {
  const match = /^(\d{1,5})([hd])$/.exec(text);
  const time = Number(match?.[1]) * (match?.[2] === 'h' ? 3_600_000 : DAY_MS);
  if (time >= 3_600_000 && time <= 36_500 * DAY_MS) return time;
  throw new InvalidArgumentError('Give a time from 1h to 36500d, such as 90d.');
}
