/**
 * `cert export`: the chain for whoever wants it; the key for root, into a file of its own.
 */
import { Option, type Command } from 'commander';
import { examples } from './arguments.js';
import { certificatePath } from './cert-path.js';
import { readPassphrase, writeSecret } from './cert-files.js';
import { clientOf, wantsJson, type Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';

interface ExportOptions {
  readonly key?: boolean;
  readonly format: 'pem' | 'pkcs12';
  readonly output?: string;
  readonly passphraseFile?: string;
}

export function addCertExport(cert: Command, context: Context): void {
  cert
    .command('export')
    .summary('the chain as PEM; with --key also the key')
    .description(
      'Prints the certificate and its chain as PEM. With --key the private key comes with it: for root\n' +
        'only, into a new file that is for its owner alone, and an event says who took it.',
    )
    .argument('<certificate>', 'its name in the store')
    .option('--key', 'with the private key')
    .addOption(
      new Option('--format <format>', 'of what is written')
        .choices(['pem', 'pkcs12'])
        .default('pem'),
    )
    .option('--output <file>', "write there instead of to stdout; '-' is stdout")
    .option('--passphrase-file <file>', 'the first line of this file closes the PKCS#12 file')
    .addHelpText(
      'after',
      examples(
        ['weir cert export shop.example > chain.pem', 'what clients see'],
        ['weir cert export shop.example --key --output shop.pem', 'to move it elsewhere'],
        [
          'weir cert export shop.example --key --format pkcs12 --passphrase-file pass --output shop.p12',
          'as PKCS#12',
        ],
      ),
    )
    .action(async (name: string, options: ExportOptions, command: Command) => {
      const key = options.key === true;
      if (key && options.output === undefined) {
        throw new CliError(
          EXIT.usage,
          'Name a new file for the key with --output: keys are not printed.',
        );
      }
      if (key && options.output === '-' && process.stdout.isTTY === true) {
        throw new CliError(
          EXIT.usage,
          'A private key is not written to a terminal: name a file with --output.',
        );
      }
      const passphrase = await readPassphrase(options.passphraseFile);
      const bytes = await clientOf(command, context).octets({
        method: 'POST',
        path: `${certificatePath(name)}/export`,
        json: { format: options.format, key },
        ...(passphrase === undefined ? {} : { passphrase }),
      });
      try {
        if (key || options.output !== undefined) await writeSecret(options.output ?? '-', bytes);
        else {
          const pem = bytes.toString('latin1');
          if (wantsJson(command)) context.out(`${JSON.stringify({ name, pem }, null, 2)}\n`);
          else context.out(pem);
        }
      } finally {
        bytes.fill(0);
      }
    });
}
