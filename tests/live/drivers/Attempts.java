/*
 * Attempts.java - log-ins by PostgreSQL's JDBC driver. Each line of stdin is one attempt: fields parted by tabs, in the
 * order of ../kit/drivers.py; each line of stdout is what became of it: "ok<TAB>who" or "no<TAB>SQLSTATE<TAB>error".
 */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Properties;

public class Attempts {
	private static String attempt(String[] f) {
		Properties p = new Properties();
		p.setProperty("user", f[3]);
		if (!f[4].equals("-"))
			p.setProperty("password", f[4].substring(1));
		p.setProperty("sslmode", f[5]);
		p.setProperty("loginTimeout", "30");
		if (!f[6].isEmpty())
			p.setProperty("sslrootcert", f[6]);
		p.setProperty("sslcert", f[7]);
		p.setProperty("sslkey", f[8]);
		try (Connection c = DriverManager.getConnection("jdbc:postgresql://" + f[0] + ":" + f[1] + "/" + f[2], p);
				ResultSet r = c.createStatement().executeQuery("SELECT current_user")) {
			r.next();
			return "ok\t" + r.getString(1);
		} catch (SQLException e) {
			return "no\t" + e.getSQLState() + "\t" + String.valueOf(e.getMessage()).replaceAll("\\s+", " ");
		}
	}

	public static void main(String[] arguments) throws Exception {
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
		for (String line; (line = in.readLine()) != null;)
			System.out.println(attempt(line.split("\t", -1)));
	}
}
