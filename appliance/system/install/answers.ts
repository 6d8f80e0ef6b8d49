/**
 * `install.yaml` on the volume WEIR-SEED: an installation that asks nobody.
 *
 *     disk: smallest          # or largest, only, /dev/NAME, serial:NUMBER
 *     overwrite-weir: false   # true: also a disk that has a Weir already
 *     then: power-off         # or restart
 */
import { parse } from 'yaml';
import { z } from 'zod';

const answers = z.strictObject({
  disk: z
    .string()
    .regex(
      /^(only|smallest|largest|\/dev\/[\w/-]+|serial:.+)$/,
      'expected only, smallest, largest, /dev/NAME or serial:NUMBER',
    ),
  'overwrite-weir': z.boolean().default(false),
  // A stick that stays where it is would install again and again.
  then: z.enum(['power-off', 'restart']).default('power-off'),
});

export type Answers = z.infer<typeof answers>;

/** Throws an Error that says what is wrong with the file. */
export function parseAnswers(text: string): Answers {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw new Error(`install.yaml: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  const found = answers.safeParse(value);
  if (found.success) return found.data;
  const [issue] = found.error.issues;
  const where = issue?.path.join('.') ?? '';
  throw new Error(
    `install.yaml: ${where === '' ? '' : `${where}: `}${issue?.message ?? 'it makes no sense'}`,
  );
}
