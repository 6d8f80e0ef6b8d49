/** Where the API has a certificate. The name comes from people. */
export function certificatePath(name: string): string {
  return `/v1/certificates/${encodeURIComponent(name)}`;
}
